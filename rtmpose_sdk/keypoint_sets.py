"""Which keypoints are there? Names, flip pairs, skeleton and OKS sigmas of each keypoint set.

A leaf module: every room may import it. The table is package data (`data/keypoint_sets.json`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

from rtmpose_sdk.errors import InputError


@dataclass(frozen=True)
class KeypointSet:
    """One keypoint set; indices are 0-based.

    Attributes:
        name: short name, as cards carry it ("coco17").
        names: K keypoint names.
        flip_indices: K indices; keypoint i of a mirrored picture is keypoint flip_indices[i].
        skeleton: pairs of keypoint indices to join when drawing; may be empty.
        oks_sigmas: K falloffs of the object keypoint similarity (COCO); empty where none exist.
    """

    name: str
    names: tuple[str, ...]
    flip_indices: tuple[int, ...]
    skeleton: tuple[tuple[int, int], ...]
    oks_sigmas: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.names)


@functools.cache
def _table() -> dict[str, KeypointSet]:
    text = resources.files("rtmpose_sdk").joinpath("data/keypoint_sets.json").read_text("utf-8")
    return {
        name: KeypointSet(
            name=name,
            names=tuple(row["keypoints"]),
            flip_indices=tuple(row["flip_indices"]),
            skeleton=tuple((int(a), int(b)) for a, b in row["skeleton"]),
            oks_sigmas=tuple(row["oks_sigmas"]),
        )
        for name, row in json.loads(text).items()
    }


def keypoint_set_names() -> tuple[str, ...]:
    """Names of the keypoint sets that the SDK knows."""
    return tuple(_table())


def get_keypoint_set(name: str) -> KeypointSet:
    """The keypoint set called `name`.

    Raises:
        InputError: no such set; the message lists what there is.
    """
    try:
        return _table()[name]
    except KeyError:
        known = ", ".join(_table())
        raise InputError(f"unknown keypoint set '{name}'; known sets: {known}") from None


def keypoint_set_of(count: int | None, origin: str) -> str:
    """Name of the set that a network with `count` keypoints has.

    Where several sets have as many, the weights' file name decides ("...simcc-ap10k..."); 17 keypoints
    with no such hint are COCO's.

    Args:
        count: number of keypoints; None where it is not known.
        origin: the weights' path or name.

    Raises:
        InputError: no set has as many, or several do and nothing tells which.
    """
    fitting = [name for name, known in _table().items() if len(known) == count]
    name = origin.replace("\\", "/").rsplit("/", 1)[-1].lower()
    hinted = [s for s in fitting if s != "coco17" and s.rstrip("0123456789") in name]
    if len(fitting) == 1 or hinted:
        return (hinted or fitting)[0]
    if "coco17" in fitting:
        return "coco17"
    what = f"several sets have ({', '.join(fitting)})" if fitting else "no known set has"
    raise InputError(
        f"{origin}: has {count} keypoints, which {what}; say which one it is. Known sets: "
        f"{', '.join(_table())}"
    )
