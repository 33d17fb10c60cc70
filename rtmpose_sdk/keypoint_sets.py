"""Which keypoints are there? Names, flip pairs, skeleton and OKS sigmas of each keypoint set.

A leaf module: every room may import it. The table is package data (`data/keypoint_sets.json`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

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

    def definition(self) -> dict[str, Any]:
        """The set as plain values, as the packaged table and model cards hold it."""
        return {
            "keypoints": list(self.names),
            "flip_indices": list(self.flip_indices),
            "skeleton": [list(bone) for bone in self.skeleton],
            "oks_sigmas": list(self.oks_sigmas),
        }


@functools.cache
def _table() -> dict[str, KeypointSet]:
    text = resources.files("rtmpose_sdk").joinpath("data/keypoint_sets.json").read_text("utf-8")
    return {name: keypoint_set_from(name, row) for name, row in json.loads(text).items()}


def keypoint_set_from(name: str, definition: Mapping[str, Any]) -> KeypointSet:
    """A keypoint set from plain values, as `KeypointSet.definition` gives them.

    Raises:
        InputError: a value is missing or of another kind, or refers to a keypoint that is not there.
    """
    try:
        made = KeypointSet(
            name=name,
            names=tuple(map(str, definition["keypoints"])),
            flip_indices=tuple(map(int, definition["flip_indices"])),
            skeleton=tuple((int(a), int(b)) for a, b in definition["skeleton"]),
            oks_sigmas=tuple(map(float, definition["oks_sigmas"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"keypoint set '{name}': {error!r}; expected keypoints, flip_indices, skeleton and oks_sigmas"
        ) from None
    count = len(made)
    if (
        sorted(made.flip_indices) != list(range(count))
        or any(not 0 <= end < count for bone in made.skeleton for end in bone)
        or len(made.oks_sigmas) not in (0, count)
    ):
        raise InputError(
            f"keypoint set '{name}': flip_indices, skeleton or oks_sigmas do not fit its {count} keypoints"
        )
    return made


def keypoint_set_named(
    name: str, names: Sequence[str], skeleton: Sequence[tuple[int, int]] = ()
) -> KeypointSet:
    """The set that has just these keypoint names; a new one called `name` where the SDK knows none.

    The flip pairs of a new set are read from its names ("left_eye" and "right_eye", "l_ear" and
    "r_ear", "EarL" and "EarR" are pairs); it has no OKS sigmas.

    Args:
        name: of a new set.
        names: K keypoint names.
        skeleton: pairs of keypoint indices, 0-based, of a new set.
    """
    for known in _table().values():
        if known.names == tuple(names):
            return known
    return KeypointSet(name, tuple(names), _flip_pairs(names), tuple(skeleton), ())


def _flip_pairs(names: Sequence[str]) -> tuple[int, ...]:
    places = {name: i for i, name in enumerate(names)}
    return tuple(
        next((places[other] for other in _mirrored(name) if other in places), i)
        for i, name in enumerate(names)
    )


def _mirrored(name: str) -> list[str]:
    """What the other side's keypoint may be called."""
    words = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
    found = [name.replace(a, b) for pair in words for a, b in (pair, pair[::-1]) if a in name]
    for a, b in (("l", "r"), ("r", "l"), ("L", "R"), ("R", "L")):
        if name.startswith((f"{a}_", f"{a}-", f"{a} ")):
            found.append(b + name[1:])
        if name.endswith((f"_{a}", f"-{a}", f" {a}")) or (a.isupper() and name.endswith(a)):
            found.append(name[:-1] + b)
    return found


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
