"""From a name, a file or a folder to a running network and the card that says how to use it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from rtmpose_sdk import mmdeploy
from rtmpose_sdk.card import CARD_KEY, ModelCard, Task
from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.runtimes import Runtime, open_runtime
from rtmpose_sdk.zoo import find_model

_OUTPUTS = {
    "simcc": {"simcc_x", "simcc_y"},
    "heatmap": set(),
    "boxes": {"boxes", "scores"},
    "boxes_nms": {"boxes", "scores", "batch_index"},
    "mmdeploy_dets": {"dets", "labels"},
}


class Model(NamedTuple):
    """An opened artifact."""

    runtime: Runtime
    card: ModelCard


def open_model(
    source: str | Path,
    task: Task,
    device: str = "cpu",
    threads: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> Model:
    """Open a model for a task.

    Args:
        source: a name of the zoo, an ONNX file with a card, or an MMDeploy SDK folder.
        task: what it is to be used for.
        device, threads, precision, engine: see `open_runtime`.

    Raises:
        ModelNotFoundError, ModelFileError, CardError, DeviceError, MissingExtraError: see there.
        InputError: a detector where a pose model belongs, or the other way round.
    """
    path = find_model(source)
    runtime = open_runtime(
        mmdeploy.network_file(path) if path.is_dir() else path, device, threads, precision, engine
    )
    try:
        card = _card(path, runtime)
        if card.task != task:
            what = {"pose": "a pose model", "detect": "a detector"}
            raise InputError(
                f"{source} is {what[card.task]} ({card.name}), but {what[task]} is expected here; "
                "are pose= and detector= swapped?"
            )
        _check_fits(runtime, card)
        if card.verification.get("verified") is False:
            warnings.warn(
                f"{path}: its export did not pass the check against the PyTorch model "
                "(card: verified: false); its keypoints may be wrong. Export it again",
                stacklevel=3,
            )
    except Exception:
        runtime.close()
        raise
    return Model(runtime, card)


def artifact_card(source: str | Path) -> ModelCard:
    """The card of a model, whatever its task.

    Args:
        source: as `open_model` takes it.

    Raises:
        ModelNotFoundError, ModelFileError, CardError, MissingExtraError: see there.
    """
    path = find_model(source)
    beside = _card_beside(path)
    if beside.is_file():  # an engine file may need a device that this machine does not have
        return ModelCard.from_json(beside.read_text("utf-8"), str(beside))
    with open_runtime(mmdeploy.network_file(path) if path.is_dir() else path) as runtime:
        return _card(path, runtime)


def _card_beside(path: Path) -> Path:
    return path.with_name(path.name + ".card.json")


def _card(path: Path, runtime: Runtime) -> ModelCard:
    return mmdeploy.sdk_card(path, runtime.outputs) if path.is_dir() else read_card(runtime)


def read_card(runtime: Runtime) -> ModelCard:
    """The card inside the artifact, else in `<artifact>.card.json` beside it.

    Raises:
        CardError: there is none, or it is damaged.
    """
    beside = _card_beside(runtime.path)
    if CARD_KEY in runtime.metadata:
        return ModelCard.from_json(runtime.metadata[CARD_KEY], str(runtime.path))
    if beside.is_file():
        return ModelCard.from_json(beside.read_text("utf-8"), str(beside))
    raise CardError(
        f"{runtime.path}: has no model card (input size, colour order, normalisation and decoder are "
        f"unknown). Export it with rtmpose-export, or write a card to {beside.name}, or give the "
        "MMDeploy SDK folder that holds deploy.json and pipeline.json"
    )


def _check_fits(runtime: Runtime, card: ModelCard) -> None:
    """A card that contradicts its artifact would give wrong keypoints without an error."""
    width, height = card.input_size
    size = (height, width, 3) if card.takes_image else (3, height, width)
    spec = runtime.inputs[0]
    fits = (
        len(runtime.inputs) == 1
        and spec.dtype == card.input_dtype
        and len(spec.shape) == 4
        and all(have in (None, want) for have, want in zip(spec.shape[1:], size, strict=True))
    )
    if not fits:
        raise CardError(
            f"{runtime.path}: takes {spec}, but its card says {card.input_dtype} "
            f"(N,{','.join(map(str, size))})"
        )
    if card.decoder == "heatmap" and not any(len(output.shape) == 4 for output in runtime.outputs):
        raise CardError(
            f"{runtime.path}: gives {', '.join(map(str, runtime.outputs))}, but the card's decoder "
            "'heatmap' reads an output (N,K,h,w)"
        )
    names = {output.name for output in runtime.outputs}
    if not _OUTPUTS[card.decoder] <= names:
        raise CardError(
            f"{runtime.path}: gives {sorted(names)}, but the card's decoder '{card.decoder}' reads "
            f"{sorted(_OUTPUTS[card.decoder])}"
        )
