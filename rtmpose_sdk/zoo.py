"""Which models can be named, and which file is meant by a name, an address or a path?"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from rtmpose_sdk.card import Task
from rtmpose_sdk.errors import InputError, ModelFileError, RTMPoseWarning
from rtmpose_sdk.hub.cache import sha256_of
from rtmpose_sdk.hub.convert import CHECKPOINTS, converted
from rtmpose_sdk.hub.download import fetch
from rtmpose_sdk.hub.table import (
    KINDS,
    PRESETS,
    ModelFile,
    PublishedModel,
    find_file,
    find_published,
    unknown_name,
)
from rtmpose_sdk.hub.unpack import model_inside, unpacked, unpacked_by_hand
from rtmpose_sdk.runs import artifact_of, is_run, refuse_state

DEFAULT_POSE = "rtmpose-t-own"
DEFAULT_DETECTOR = "rtmdet-nano-own"
UNSAID_POSE = "default"
"""A Pipeline's pose model where none is said: `DEFAULT_POSE`, or the profile's. Never a file."""
UNSAID_DETECTOR = "auto"
"""A Pipeline's detector where none is said: the preset's, the profile's, or `DEFAULT_DETECTOR`. Never a
file."""


@dataclass(frozen=True)
class NamedModel:
    """A model that ships with the package: name, task, file below `data/`, one line for people."""

    name: str
    task: Task
    file: str
    summary: str


NAMED_MODELS = (
    NamedModel(
        DEFAULT_POSE,
        "pose",
        "rtmpose-t-own.onnx",
        "RTMPose-t, body 17, 256x192, trained for this project on few pictures: AP 0.454 with "
        "ground-truth boxes; the published RTMPose-t is far better (0.685)",
    ),
    NamedModel(
        DEFAULT_DETECTOR,
        "detect",
        "rtmdet-nano-own.onnx",
        "RTMDet-nano, persons, 384x384, trained for this project on few pictures: AP50 0.490; the "
        "published RTMDet-nano is far better",
    ),
)


class Found(NamedTuple):
    """What a source means: a file or folder that can be opened, and the row of the table, if it has one."""

    path: Path
    published: PublishedModel | None = None


def find_model(source: str | Path) -> Path:
    """The file or folder that a name, an address or a path means; `locate` without the row."""
    return locate(source).path


def existing(source: str | Path) -> Path | None:
    """What is there under this path, `~` being the home; None where nothing is, or nothing could be.

    Raises:
        InputError: neither text nor a path.
    """
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"the model is {source!r:.60}; expected a name, a file, a folder or an address")
    try:
        path = Path(source).expanduser()
        return path if str(source) and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # the last one: ~somebody, who has no home
        return None


def models_meant(pose: str | Path, detector: str | Path | None) -> tuple[str | Path, str | Path | None]:
    """The pose model and the detector that a Pipeline's arguments mean, without a profile.

    Args:
        pose: a preset brings both; `UNSAID_POSE` is the bundled one. A path that exists wins over a preset.
        detector: `UNSAID_DETECTOR` is the preset's or the bundled one; what is named stays, None too.

    Raises:
        InputError: the pose model is neither text nor a path.
    """
    there = existing(pose)
    beside: str | Path | None = DEFAULT_DETECTOR
    if pose == UNSAID_POSE:
        pose = DEFAULT_POSE
    elif there is None and str(pose) in PRESETS:
        pose, beside = PRESETS[str(pose)]
    return pose, beside if detector == UNSAID_DETECTOR else detector


def locate(source: str | Path, keypoint_set: str = "") -> Found:
    """The model that a name, an address or a path means, ready to be opened.

    A path that exists wins over a name. What is published is fetched; archives are unpacked and
    checkpoints converted, once each, into the cache. A published file is known by its name, wherever it
    comes from.

    Args:
        source: "rtmpose-m", "rtmpose-m.pth" (the checkpoint of that name), "https://…/x.zip", a file, an
            SDK folder, the folder of a training run.
        keypoint_set: of a checkpoint whose own cannot be told: a name, or a file that defines one.

    Raises:
        ModelNotFoundError: none of these; the message has the nearest names.
        InputError: neither text nor a path, or the state of a training run.
        ModelFileError: a folder without a model has the name of a published one; a training run without an
            artifact, or with several.
        OfflineError, DownloadError, ArchiveError, CheckpointError, MissingExtraError, OutputError: it could
            not be had.
    """
    path, text = existing(source), str(source)
    if path is not None:
        row = _published_at(path)
        ready = _ready(path, row, keypoint_set)
        hidden = None if ready.is_file() or (ready / "deploy.json").is_file() else find_published(text)
        if hidden is not None:
            raise ModelFileError(
                f"{path.resolve()}: is a folder without a model, and hides the published {text}; name that "
                f"in full, {hidden.name}, or rename the folder"
            )
        return Found(ready, row)
    for model in NAMED_MODELS:
        if model.name == text:
            return Found(Path(str(resources.files("rtmpose_sdk").joinpath("data", model.file))))
    if _is_address(text):
        fetched, row = _fetch_address(text)
        return Found(_ready(fetched, row, ""), row)
    published, file = _published(text)
    fetched = fetch_file(published, file)
    return Found(_ready(fetched, published, keypoint_set), published)


def find_checkpoint(source: str | Path) -> Found:
    """The weights that a name, an address or a path means: to train from, or to export.

    Args:
        source: "rtmpose-m" or "rtmpose-m.pth" (published), "https://…/x.pth", a file, which wins. A bundled
            name gives its ONNX file.

    Raises:
        ModelNotFoundError: none of these; the message has the nearest names.
        InputError: not published as a checkpoint, or the state of a training run.
        OfflineError, DownloadError, OutputError: it could not be had.
    """
    path, text = existing(source), str(source)
    if path is not None:
        refuse_state(path)
        return Found(path, _published_at(path) if path.suffix.lower() in CHECKPOINTS else None)
    if _is_address(text):
        fetched, row = _fetch_address(text)
        return Found(fetched, row if fetched.suffix.lower() in CHECKPOINTS else None)
    if any(model.name == text for model in NAMED_MODELS):
        return Found(find_model(source))
    model = find_published(text.removesuffix(".pth")) or name_published(text)
    return Found(fetch_file(model, model.file("pth")), model)


def published_of(source: str | Path) -> PublishedModel | None:
    """The row that a source means, without fetching anything; None where it is no published name."""
    if existing(source) is not None or any(model.name == str(source) for model in NAMED_MODELS):
        return None
    if _is_address(str(source)):
        known = find_file(str(source).partition("?")[0])
        return known[0] if known else None
    stem, _, suffix = str(source).rpartition(".")
    return find_published(stem if suffix in KINDS else str(source))


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _fetch_address(url: str) -> tuple[Path, PublishedModel | None]:
    """The file behind an address, and its row; a published file has its published hash anywhere."""
    model, file = find_file(url.partition("?")[0]) or (None, None)
    return fetch(url, file.sha256_prefix if file else "", f"rtmpose models download {url}"), model


def _published_at(path: Path) -> PublishedModel | None:
    """The row of the published file that lies at a path: by its name, and hash if it has one."""
    model, file = find_file(path.name) or (None, None)
    if model is None or file is None or path.is_dir():
        return None
    if file.sha256_prefix and not sha256_of(path).startswith(file.sha256_prefix):
        warnings.warn(
            f"{path} has the name of a published file, whose sha256 begins with {file.sha256_prefix}, but "
            "is another one, or damaged: nothing of what is published about that one is said of it",
            RTMPoseWarning,
            stacklevel=4,
        )
        return None
    return model


def fetch_file(model: PublishedModel, file: ModelFile) -> Path:
    """A published file, as it was published, from the cache or the network."""
    name = model.name if file == model.files[0] else f"{model.name}.{file.kind}"
    return fetch(file.url, file.sha256_prefix, f"rtmpose models download {name}")


def name_published(name: str) -> PublishedModel:
    """The row that a name means.

    Raises:
        ModelNotFoundError: none; the message has the nearest names.
    """
    model = find_published(name)
    if model is None:
        if name in PRESETS:
            pose, detector = PRESETS[name]
            raise InputError(
                f"'{name}' is a preset: pose {pose} with detector {detector}. Give it as the pose model "
                "of a Pipeline (or of rtmpose predict), or name one of the two here"
            )
        raise unknown_name(name, [model.name for model in NAMED_MODELS])
    return model


def _published(name: str) -> tuple[PublishedModel, ModelFile]:
    stem, dot, suffix = name.rpartition(".")
    for kind in KINDS:
        if dot and suffix == kind and find_published(stem) is not None:
            model = name_published(stem)
            try:
                return model, model.file(kind)
            except InputError as error:
                raise InputError(f"there is no file {name} in {Path.cwd()}, and {error}") from None
    model = name_published(name)
    return model, model.file()


def _ready(path: Path, published: PublishedModel | None, keypoint_set: str) -> Path:
    """What can be opened: a run's artifact, archives unpacked, checkpoints converted."""
    if path.is_dir():
        return artifact_of(path) if is_run(path) else unpacked_by_hand(path)
    refuse_state(path)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return model_inside(unpacked(path))
    if suffix in CHECKPOINTS:
        return converted(path, published.card() if published else None, keypoint_set)
    return path
