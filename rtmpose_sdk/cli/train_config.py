"""What do the options of `rtmpose train` say together: which run?"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer

from rtmpose_sdk.cli.options import parse_size, refuse_given
from rtmpose_sdk.cli.train_choices import DETECTOR, POSE, Head, Task
from rtmpose_sdk.cli.train_run import training_room
from rtmpose_sdk.errors import InputError, ModelNotFoundError
from rtmpose_sdk.runs import BEST, WEIGHTS
from rtmpose_sdk.zoo import find_checkpoint

if TYPE_CHECKING:
    from rtmpose_sdk.training.run import RunConfig

WEIGHT_DECAY = 0.05
"""Of RTMDet and of RTMPose m, l, x; RTMPose t and s have none (paper, section 4.1)."""


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """What is trained, and how, where nothing else is said: the paper's."""

    model: str
    epochs: float
    weak_epochs: float
    batch: int
    scale: tuple[float, float]


_RECIPES = {
    Task.POSE: _Recipe("rtmpose-t", 210.0, 30.0, 64, (0.6, 1.4)),
    Task.DETECTOR: _Recipe("rtmdet-nano", 300.0, 20.0, 16, (0.5, 2.0)),
}


def check_together(context: typer.Context, given: Mapping[str, Any]) -> None:
    """Options that do not go together.

    Args:
        context: of the command.
        given: its options by their names.

    Raises:
        InputError: so.
    """
    task = given["task"]
    strange = DETECTOR if task is Task.POSE else POSE
    others = [
        str(parameter.name)
        for parameter in context.command.params
        if getattr(parameter, "rich_help_panel", None) == strange
    ]
    refuse_given(context, others, f"not for training a {task.value} model")
    if given["heatmap_weight"] and given["head"] is Head.HEATMAP:
        raise InputError("--heatmap-weight is for SimCC heads; --head heatmap learns from nothing else")
    if given["freeze"] and not given["init"]:
        raise InputError("--freeze keeps what --init brings; random weights are not worth keeping")
    if not given["teacher"]:
        refuse_given(
            context,
            ["teacher_everything", "teacher_confidence"],
            "said of a teacher; name one with --teacher",
        )


def config_of(given: Mapping[str, Any]) -> RunConfig:
    """The run that is asked for.

    Args:
        given: options by their names, which are those of `RunConfig`.

    Raises:
        InputError: a number or a name that no run can have.
        DataError: annotations or pictures that are not there.
        MissingExtraError: the training extra is not installed.
    """
    training = training_room()
    task, recipe = given["task"], _RECIPES[given["task"]]
    model = given["model"] or recipe.model
    if model.startswith("rtmdet") != (task is Task.DETECTOR):
        raise InputError(f"--model {model} cannot be trained as a {task.value} model")
    epochs = recipe.epochs if given["epochs"] is None else given["epochs"]
    names = {field.name for field in dataclasses.fields(training.RunConfig)}
    values = {
        name: value.value if isinstance(value, enum.Enum) else value
        for name, value in given.items()
        if name in names
    }
    values |= _sources(training, given)
    values |= {
        "model": model,
        "init": _checkpoint(given["init"]),
        "input_size": _size(given["input_size"]) or training.default_input_size(model),
        "epochs": epochs,
        "weak_epochs": _weak_epochs(given["weak_epochs"], recipe, epochs),
        "batch": given["batch"] or recipe.batch,
        "weight_decay": _weight_decay(given["weight_decay"], model),
        "scale": given["scale"] or recipe.scale,
        "pretrain_epochs": _pretrain_epochs(given, epochs),
        "pretrain_size": parse_size(given["pretrain_size"]),
        "teacher": _resolved(given["teacher"]),
        "gau": not given["no_gau"],
        "precision": given["precision"].of_fabric,
    }
    config: RunConfig = training.RunConfig(**values)
    return config


def _size(text: str | None) -> tuple[int, int] | None:
    return parse_size(text) if text else None


def _weak_epochs(asked: float | None, recipe: _Recipe, epochs: float) -> float:
    """As many as the paper's, or its part of a shorter run."""
    part = min(epochs / recipe.epochs, 1.0)
    return min(part * recipe.weak_epochs if asked is None else asked, epochs)


def _weight_decay(asked: float | None, model: str) -> float:
    if asked is not None:
        return asked
    return 0.0 if model in ("rtmpose-t", "rtmpose-s") else WEIGHT_DECAY


def _pretrain_epochs(given: Mapping[str, Any], epochs: float) -> float:
    """As many as of the run, but none where the backbone has learned already, or learns from heatmaps."""
    if given["task"] is Task.DETECTOR:
        return 0.0
    if given["pretrain_epochs"] is not None:
        return float(given["pretrain_epochs"])
    return 0.0 if given["init"] or given["head"] is Head.HEATMAP else epochs


def _sources(training: ModuleType, given: Mapping[str, Any]) -> dict[str, Any]:
    """Files and folders as a configuration has them."""
    data, images = given["data"], given["images"] or []
    val_data, val_images = given["val_data"], given["val_images"]
    if images and len(images) != len(data):
        raise InputError(
            f"{len(data)} times --data and {len(images)} times --images; expected a folder for each file, "
            "or none where the pictures are in images/ beside it"
        )
    if val_images and not val_data:
        raise InputError("--val-images needs --val-data, the annotations of those pictures")
    folders: list[Path | None] = [*images] or [None] * len(data)
    sources = [training.Source.of(a.resolve(), i) for a, i in zip(data, folders, strict=True)]
    val = training.Source.of(val_data.resolve(), val_images, "--val-images") if val_data else None
    return {
        "annotations": tuple(str(s.annotations) for s in sources),
        "images": tuple(str(s.images.resolve()) for s in sources),
        "val_annotations": str(val.annotations) if val else "",
        "val_images": str(val.images.resolve()) if val else "",
    }


def _checkpoint(init: str | None) -> str:
    """A file by its whole path; of a run's folder, the weights that it gave.

    Raises:
        InputError: no such file, a run's state, or a folder without weights.
        ModelNotFoundError: a name that nothing has.
    """
    if not init:
        return ""
    path = Path(init)
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            best = f". Its best weights up to now: {path / BEST}" if (path / BEST).is_file() else ""
            raise InputError(
                f"--init {init}: is a folder without {WEIGHTS}; expected a checkpoint file, or the folder "
                f"of a run that came to its end{best}"
            )
        path = path / WEIGHTS
    try:
        return str(find_checkpoint(str(path) if path.is_file() else init).path.resolve())
    except ModelNotFoundError:
        if not path.suffix and len(path.parts) == 1:  # a name, and the message has the nearest ones
            raise
        raise InputError(
            f"--init {init}: no such file; expected a checkpoint (.pth), an fp32 ONNX file of "
            "rtmpose-export, the folder of a run, or a published name (rtmpose models)"
        ) from None


def _resolved(teacher: str | None) -> str:
    """A file or folder by its whole path, so that a run can be resumed from elsewhere; a name as it is."""
    if not teacher:
        return ""
    return str(Path(teacher).resolve()) if Path(teacher).exists() else teacher
