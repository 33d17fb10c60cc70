"""Which models are published, and which one does a name mean? The table is data, not code."""

from __future__ import annotations

import difflib
import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, cast

from rtmpose_sdk.card import (
    IMAGENET_MEAN_RGB,
    IMAGENET_STD_RGB,
    RTMPOSE_BETA,
    RTMW_BETA,
    Decoder,
    ModelCard,
)
from rtmpose_sdk.errors import InputError, ModelNotFoundError

TABLE = "data/published_models.json"
OWN_TABLE = "RTMPOSE_MODELS"
"""Environment variable: a table of the user's own, in the same form, beside the packaged one."""
FileKind = Literal["zip", "onnx", "pth"]
KINDS: tuple[FileKind, ...] = ("zip", "onnx", "pth")

_NO_CHANGE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_SET_WORDS = {
    "coco17": ("coco17", "body17", "body"),
    "halpe26": ("halpe26", "body26", "feet"),
    "coco_wholebody133": ("wholebody", "wholebody133"),
    "hand21": ("hand21", "hand"),
    "lapa106": ("face106", "face", "lapa106"),
    "ap10k17": ("ap10k17", "animal", "ap10k", "animal17"),
}
"""What people may call a keypoint set within a name; the first is the one that we write."""
_NETWORK_WORDS = {"rtmpose-tiny": "rtmpose-t", "rtmo-tiny": "rtmo-t", "cspnext-t": "cspnext-tiny"}
_SHOWN = 3


@dataclass(frozen=True)
class ModelFile:
    """A published file.

    Attributes:
        kind: "zip" (MMDeploy SDK folder), "onnx", or "pth" (checkpoint).
        url: its address.
        sha256_prefix: first digits of its sha256, or all 64, as the publisher gives them; "" where none.
    """

    kind: FileKind
    url: str
    sha256_prefix: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PublishedModel:
    """A row of the table: what is known about a model before its file is opened.

    Attributes:
        name: the full name.
        network: "rtmpose-m".
        task: "pose", "detect"; "backbone" is ImageNet weights to begin a training from.
        target: what stands in its boxes, or what it finds: person, hand, face, animal.
        keypoint_set: of a pose model, else "".
        data: what it was trained on, a short word.
        input_size: (width, height) px.
        decoder: how its outputs are read; "" for a backbone.
        files: the best way first: an archive needs no torch.
        license, accuracy, latency_ms, parameters_m, flops_g, source: as published; percent, ms, millions,
            10^9.
    """

    name: str
    network: str
    task: Literal["pose", "detect", "backbone"]
    input_size: tuple[int, int]
    files: tuple[ModelFile, ...]
    keypoint_set: str = ""
    target: str = "person"
    data: str = ""
    decoder: str = ""
    license: str = "unknown"
    accuracy: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    parameters_m: float = 0.0
    flops_g: float = 0.0
    source: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What may follow the network in a name."""
        width, height = self.input_size
        return (*_SET_WORDS.get(self.keypoint_set, (self.keypoint_set,)), self.data, f"{height}x{width}")

    def file(self, kind: FileKind | None = None) -> ModelFile:
        """Its file of a kind; the best one for None.

        Raises:
            InputError: it was not published as such a file.
        """
        for each in self.files:
            if kind in (None, each.kind):
                return each
        raise InputError(
            f"{self.name} is published as {', '.join(f.kind for f in self.files)}, not as {kind}"
        )

    def card(self) -> ModelCard:
        """What its card says before a file is opened.

        Raises:
            InputError: a backbone, which gives no keypoints and no boxes.
        """
        if self.task == "backbone":
            raise InputError(
                f"{self.name} is a backbone's ImageNet weights: it finds nothing by itself. Begin a "
                "training "
                f"with it: rtmpose models download {self.name}, then rtmpose train pose --init FILE"
            )
        mean, std = IMAGENET_MEAN_RGB, IMAGENET_STD_RGB
        rgb = self.task == "pose" and self.decoder != "rtmo"
        if self.network.startswith(("yolox", "rtmo-")):
            mean, std = _NO_CHANGE
        elif not rgb:
            mean, std = IMAGENET_MEAN_RGB[::-1], IMAGENET_STD_RGB[::-1]
        return ModelCard(
            name=self.network,
            task=self.task,
            input_size=self.input_size,
            decoder=cast(Decoder, self.decoder),  # which the card checks
            color_order="rgb" if rgb else "bgr",
            mean=mean,
            std=std,
            input_layout="nchw",
            input_dtype="float32",
            keypoint_set=self.keypoint_set,
            simcc_beta=RTMW_BETA if self.network.startswith("rtmw") else RTMPOSE_BETA,
            heatmap_udp=self.decoder == "heatmap",
            weights_source=self.files[0].url,
            license=self.license,
            accuracy={f"published {name}": value for name, value in self.accuracy.items()},
        )


class Preset(NamedTuple):
    """Two names that go together."""

    pose: str
    detector: str | None


PRESETS = {
    "lightweight": Preset("rtmpose-s", "yolox-tiny"),
    "balanced": Preset("rtmpose-m", "yolox-m"),
    "performance": Preset("rtmpose-x", "yolox-x"),
}
"""rtmlib's words and choices: all of them archives, so that no torch is needed."""


def published_models() -> tuple[PublishedModel, ...]:
    """Every row, the user's own (`RTMPOSE_MODELS`) first; short names mean the first row that fits.

    Raises:
        InputError: the user's own table cannot be read.
    """
    own = os.environ.get(OWN_TABLE, "")
    return (
        *(_own(own, Path(own).stat().st_mtime_ns if Path(own).is_file() else 0) if own else ()),
        *_ours(),
    )


@functools.cache
def _ours() -> tuple[PublishedModel, ...]:
    text = resources.files("rtmpose_sdk").joinpath(TABLE).read_text("utf-8")
    return tuple(_row(row) for row in json.loads(text)["models"])


@functools.lru_cache(maxsize=4)
def _own(file: str, _changed: int) -> tuple[PublishedModel, ...]:
    try:
        return tuple(_row(row) for row in json.loads(Path(file).read_text("utf-8"))["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{OWN_TABLE}={file}: not a table of models ({error!r}); expected "
            '{"version": 1, "models": [{"name", "network", "task", "input_size", "files", ...}]}'
        ) from None


def _row(row: Mapping[str, Any]) -> PublishedModel:
    values = {**row, "input_size": tuple(row["input_size"])}
    values["files"] = tuple(ModelFile(**each) for each in row["files"])
    return PublishedModel(**values)


def find_published(name: str) -> PublishedModel | None:
    """The row that a name means, else None.

    A name is a network and any of the words of a row, in any order: keypoint set, training data, input
    size (HEIGHTxWIDTH); or that of a published file, without its suffix. Where several rows fit, the first
    of the table is meant.
    """
    wanted = name.lower()
    for long, short in _NETWORK_WORDS.items():
        if wanted == long or wanted.startswith(long + "-"):
            wanted = short + wanted[len(long) :]
    rows = published_models()
    for row in rows:
        if row.name == wanted:
            return row
    by_file = (row for row in rows if any(file.name == f"{name}.{file.kind}" for file in row.files))
    return next((row for row in rows if _means(wanted, row)), None) or next(by_file, None)


def find_file(place: str) -> tuple[PublishedModel, ModelFile] | None:
    """The published file that an address or a path is by its last part, and its row; else None.

    An .onnx with the name of an archive is the network alone, as rtmlib keeps it in its cache.
    """
    name = place.replace("\\", "/").rsplit("/", 1)[-1]
    network = name.removesuffix(".onnx") + ".zip"
    return next(
        ((row, file) for row in published_models() for file in row.files if file.name in (name, network)),
        None,
    )


def _means(name: str, row: PublishedModel) -> bool:
    rest = name.removeprefix(row.network)
    if rest == name:
        return False
    hidden = row.data in ("pruned", "imagenet") or row.target not in ("person",)
    words = sorted((w for w in row.words if w), key=len, reverse=True)
    used: set[str] = set()
    while rest:
        word = next((w for w in words if rest == f"-{w}" or rest.startswith(f"-{w}-")), None)
        if word is None:
            return False
        used.add(word)
        rest = rest[len(word) + 1 :]
    # "rtmpose-s" must never mean the pruned one, nor "rtmdet-nano" the hand detector.
    return not hidden or row.data in used or bool(used & set(_SET_WORDS.get(row.keypoint_set, ())))


def unknown_name(name: str, bundled: Sequence[str]) -> ModelNotFoundError:
    """The error for a name that nothing has, with the nearest ones.

    Args:
        name: what was asked for.
        bundled: names that are no row of the table.
    """
    rows = published_models()
    short = [row.network for row in rows if row.task != "backbone"]
    known = list(dict.fromkeys([*bundled, *PRESETS, *short, *(row.name for row in rows)]))
    path = PurePath(name.replace("\\", "/"))
    near = difflib.get_close_matches(path.stem.lower(), known, _SHOWN, cutoff=0.5)
    guess = f"Did you mean {', '.join(near)}? " if near else ""
    relative = (path.suffix or len(path.parts) > 1) and not path.is_absolute()
    here = f" (from {Path.cwd()})" if relative else ""
    return ModelNotFoundError(
        f"'{name}' is neither a file, a folder{here}, nor a known model. {guess}"
        f"Bundled: {', '.join(bundled)}. `rtmpose models` lists all published names"
    )
