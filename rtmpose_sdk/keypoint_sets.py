"""Which keypoints are there? Names, flip pairs, skeleton and OKS sigmas of each keypoint set.

A leaf module: every room may import it. The table is package data (`data/keypoint_sets.json`).
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from rtmpose_sdk.errors import InputError

Side = Literal["left", "right", ""]


@dataclass(frozen=True)
class KeypointSet:
    """One keypoint set; indices are 0-based.

    Attributes:
        name: short name, as cards carry it ("coco17").
        names: K keypoint names.
        flip_indices: K indices; keypoint i of a mirrored picture is keypoint flip_indices[i].
        skeleton: pairs of keypoint indices to join when drawing; may be empty.
        oks_sigmas: K falloffs of the object keypoint similarity (COCO); empty where none exist.
        outlines: pairs to join with thin lines: contours of a face; not bones.
        colors: K colours (blue, green, red), 0-255; empty leaves them to the drawing.
        parts: ranges (first, behind the last) of the keypoints of named parts: body, feet, face, ...
        target: what a box holds: "person", "hand", "face", "animal".
    """

    name: str
    names: tuple[str, ...]
    flip_indices: tuple[int, ...]
    skeleton: tuple[tuple[int, int], ...]
    oks_sigmas: tuple[float, ...]
    outlines: tuple[tuple[int, int], ...] = ()
    colors: tuple[tuple[int, int, int], ...] = ()
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    target: str = "person"

    def __len__(self) -> int:
        return len(self.names)

    def definition(self) -> dict[str, Any]:
        """The set as plain values, as the packaged table and model cards hold it."""
        values: dict[str, Any] = {
            "keypoints": list(self.names),
            "flip_indices": list(self.flip_indices),
            "skeleton": [list(bone) for bone in self.skeleton],
            "oks_sigmas": list(self.oks_sigmas),
        }
        more = {
            "outlines": [list(line) for line in self.outlines],
            "colors": [f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in self.colors],
            "parts": {name: list(part) for name, part in self.parts.items()},
        }
        values |= {name: value for name, value in more.items() if value}
        return values if self.target == "person" else {**values, "target": self.target}


_NO_NETWORK = ("openpose18", "openpose25", "face68", "feet6")
"""Sets to convert into; no published network puts them out."""


@functools.cache
def _table() -> dict[str, KeypointSet]:
    text = resources.files("rtmpose_sdk").joinpath("data/keypoint_sets.json").read_text("utf-8")
    return {name: keypoint_set_from(name, row) for name, row in json.loads(text).items()}


def keypoint_set_from(name: str, definition: Mapping[str, Any]) -> KeypointSet:
    """A keypoint set from plain values, as `KeypointSet.definition` gives them, or as a person writes them.

    Only `keypoints` must be there. Bones and lines may name keypoints instead of numbering them,
    `flip_pairs` [["left_eye", "right_eye"], ...] may stand for `flip_indices`, `sigmas` for `oks_sigmas`;
    without either, pairs are read from the names. Colours are "#rrggbb".

    Raises:
        InputError: a value is missing or of another kind, or refers to a keypoint that is not there.
    """
    try:
        names = tuple(map(str, definition["keypoints"]))
        places = {each: i for i, each in enumerate(names)}

        def lines(rows: Sequence[Sequence[Any]]) -> tuple[tuple[int, int], ...]:
            return tuple((_place(a, places), _place(b, places)) for a, b in rows)

        made = KeypointSet(
            name=name,
            names=names,
            flip_indices=_flips(definition, names, places),
            skeleton=lines(definition.get("skeleton", ())),
            oks_sigmas=tuple(map(float, definition.get("oks_sigmas", definition.get("sigmas", ())))),
            outlines=lines(definition.get("outlines", ())),
            colors=tuple(_color(text) for text in definition.get("colors", ())),
            parts={str(k): (int(v[0]), int(v[1])) for k, v in definition.get("parts", {}).items()},
            target=str(definition.get("target", "person")),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"keypoint set '{name}': {error!r}; expected keypoints, and where wanted skeleton, "
            "flip_pairs (or "
            "flip_indices), sigmas (or oks_sigmas), colors"
        ) from None
    count = len(made)
    ends = [end for line in (*made.skeleton, *made.outlines) for end in line]
    wrong = {
        "keypoints": count == 0 or len(places) != count,
        "flip_indices": sorted(made.flip_indices) != list(range(count))
        or any(made.flip_indices[j] != i for i, j in enumerate(made.flip_indices)),
        "skeleton": any(not 0 <= end < count for end in ends),
        "oks_sigmas": len(made.oks_sigmas) not in (0, count) or any(s <= 0 for s in made.oks_sigmas),
        "colors": len(made.colors) not in (0, count),
        "parts": any(not 0 <= a < b <= count for a, b in made.parts.values()),
    }
    bad = [key for key, is_wrong in wrong.items() if is_wrong]
    if bad:
        raise InputError(f"keypoint set '{name}': {', '.join(bad)} do not fit its {count} keypoints")
    return made


def _place(value: Any, places: Mapping[str, int]) -> int:
    """Index of a keypoint that is named or numbered."""
    return places[value] if isinstance(value, str) else int(value)


def _flips(
    definition: Mapping[str, Any], names: Sequence[str], places: Mapping[str, int]
) -> tuple[int, ...]:
    if "flip_indices" in definition:
        return tuple(map(int, definition["flip_indices"]))
    if "flip_pairs" not in definition:
        return _flip_pairs(names)
    flips = list(range(len(names)))
    for one, other in definition["flip_pairs"]:
        a, b = _place(one, places), _place(other, places)
        flips[a], flips[b] = b, a
    return tuple(flips)


def _color(text: str) -> tuple[int, int, int]:
    """A colour "#rrggbb" as (blue, green, red)."""
    value = bytes.fromhex(text.removeprefix("#"))
    if len(value) != 3:
        raise ValueError(f"colour {text!r} is not #rrggbb")
    return value[2], value[1], value[0]


def read_keypoint_set(path: Path) -> KeypointSet:
    """A keypoint set from a JSON file; see `keypoint_set_from` for what stands in it.

    Its name is the entry `name`, else the file's.

    Raises:
        InputError: no such file, not JSON, or not a keypoint set.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))  # Windows marks the order of bytes
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a keypoint set file ({error}); expected JSON") from None
    if not isinstance(content, dict):
        raise InputError(f'{path}: expected {{"keypoints": [...], ...}}, found {type(content).__name__}')
    return keypoint_set_from(str(content.get("name", path.stem)), content)


def keypoint_set_named(
    name: str, names: Sequence[str], skeleton: Sequence[tuple[int, int]] = ()
) -> KeypointSet:
    """The set that has just these keypoint names; a new one called `name` where the SDK knows none.

    The flip pairs of a new set are read from its names ("left_eye" and "right_eye", "l_ear" and
    "r_ear", "EarL" and "EarR", "LEar" and "REar" are pairs); it has no OKS sigmas.

    Args:
        name: of a new set.
        names: K keypoint names.
        skeleton: pairs of keypoint indices, 0-based, of a new set.
    """
    known = keypoint_set_with(names)
    if known is not None:
        return known
    return KeypointSet(name, tuple(names), _flip_pairs(names), tuple(skeleton), ())


def keypoint_set_with(names: Sequence[str]) -> KeypointSet | None:
    """The set that the SDK knows with just these keypoint names."""
    return next((known for known in _table().values() if known.names == tuple(names)), None)


def _flip_pairs(names: Sequence[str]) -> tuple[int, ...]:
    places = {name: i for i, name in enumerate(names)}
    found = [
        next((places[other] for _, other in _mirrored(name) if other in places), i)
        for i, name in enumerate(names)
    ]
    return tuple(j if found[j] == i else i for i, j in enumerate(found))


_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
_LETTER = re.compile(r"(?<![^_\-. ])[LRlr](?![^_\-. ])|^[LR](?=[A-Z])|(?<=[a-z0-9])[LR]$")
"""A side's letter that stands alone, before a capital letter, or at the end: l_eye, LEye, EyeL."""
_SMALL = re.compile(r"^[lr](?=[A-Za-z])")
"""The same before any letter: leye. Many names begin so that say no side."""
_OTHER = dict(zip("LRlr", "RLrl", strict=True))
_LETTERS: dict[str, Side] = {"l": "left", "r": "right"}


def _mirrored(name: str) -> list[tuple[Side, str]]:
    """Sides that a keypoint's name may say, each with what the other side's may be called."""
    found = [
        (cast(Side, a.lower()), name.replace(a, b))
        for pair in _SIDES
        for a, b in (pair, pair[::-1])
        if a in name
    ]
    for kind in (_LETTER, _SMALL):
        found += [
            (_LETTERS[m.group().lower()], name[: m.start()] + _OTHER[m.group()] + name[m.end() :])
            for m in kind.finditer(name)
        ]
    return found


def side_named(name: str) -> Side:
    """The side that a keypoint's name says by itself; "" where it says none."""
    word = next((word for pair in _SIDES for word in pair if word in name), None)
    if word is not None:
        return cast(Side, word.lower())
    letter = _LETTER.search(name)
    return "" if letter is None else _LETTERS[letter.group().lower()]


def names_a_side(name: str) -> bool:
    """True where a keypoint's name says left or right."""
    return side_named(name) != ""


@functools.lru_cache(maxsize=64)
def sides_of(keypoint_set: KeypointSet) -> tuple[Side, ...]:
    """The side of each keypoint, by what its name and its mirror's differ in, else by its name alone."""
    names = keypoint_set.names
    return tuple(
        next(
            (side for side, other in _mirrored(name) if i != j and other == names[j]),
            side_named(name),
        )
        for i, (name, j) in enumerate(zip(names, keypoint_set.flip_indices, strict=True))
    )


def keypoint_set_names() -> tuple[str, ...]:
    """Names of the keypoint sets that the SDK knows."""
    return tuple(_table())


def get_keypoint_set(name: str | Path) -> KeypointSet:
    """The keypoint set called `name`.

    Args:
        name: of a set that the SDK knows, or a JSON file that defines one (`read_keypoint_set`).

    Raises:
        InputError: no such set; the message lists what there is.
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"a keypoint set is {name!r:.60}; expected its name, or the path of a .json file")
    name = os.fspath(name)
    if name in _table():
        return _table()[name]
    if name.endswith(".json"):
        return read_keypoint_set(Path(name))
    raise InputError(
        f"unknown keypoint set '{name}'; known sets: {', '.join(_table())}; a set of your own is a "
        ".json file"
    )


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
    fitting = [name for name, known in _table().items() if len(known) == count and name not in _NO_NETWORK]
    name = origin.replace("\\", "/").rsplit("/", 1)[-1].lower()
    hinted = [s for s in fitting if s != "coco17" and s.rstrip("0123456789") in name]
    if len(fitting) == 1 or hinted:
        return (hinted or fitting)[0]
    if "coco17" in fitting:
        return "coco17"
    what = f"several sets have ({', '.join(fitting)})" if fitting else "no known set has"
    raise InputError(
        f"{origin}: has {count} keypoints, which {what}; say which one it is (--keypoints of rtmpose "
        f"export). Known sets: {', '.join(_table())}. A set of your own is a file: my.json with "
        '{"keypoints": ["left_ear", "right_ear", ...], "skeleton": [["left_ear", "right_ear"], ...]}'
    )
