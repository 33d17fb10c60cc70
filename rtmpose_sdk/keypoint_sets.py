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
