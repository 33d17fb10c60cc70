"""Which models can be named, and which file is meant by a name or a path?"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rtmpose_sdk.card import Task
from rtmpose_sdk.errors import ModelNotFoundError

DEFAULT_POSE = "rtmpose-t-own"
DEFAULT_DETECTOR = "rtmdet-nano-own"


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
        "RTMPose-t, body 17, 256x192, trained for this project on few pictures: AP 0.276 with "
        "ground-truth boxes; the published RTMPose-t is far better (0.685)",
    ),
    NamedModel(
        DEFAULT_DETECTOR,
        "detect",
        "rtmdet-nano-own.onnx",
        "RTMDet-nano, persons, 320x320, trained for this project on 2,005 pictures: AP50 0.359; the "
        "published RTMDet-nano is far better",
    ),
)


def find_model(source: str | Path) -> Path:
    """The file or folder that a name or a path means. A path that exists wins over a name.

    Raises:
        ModelNotFoundError: neither.
    """
    path = Path(source)
    if path.exists():
        return path
    for model in NAMED_MODELS:
        if model.name == str(source):
            return Path(str(resources.files("rtmpose_sdk").joinpath("data", model.file)))
    known = ", ".join(model.name for model in NAMED_MODELS)
    raise ModelNotFoundError(
        f"'{source}' is neither a file, a folder, nor a known model; known names: {known}. "
        "`rtmpose models` lists them"
    )
