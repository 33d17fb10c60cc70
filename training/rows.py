"""Are the rows of a COCO file what training reads? Each error names the file and the row."""

from __future__ import annotations

from collections.abc import Container, Hashable
from pathlib import Path
from typing import Any

import numpy as np

from rtmpose_sdk.errors import DataError

_SHOWN = 80
"""Characters of a row that an error shows."""


def picture_files(content: dict[str, Any], file: Path, folder: Path) -> dict[Any, Path]:
    """Pictures by their id, in the order of the file.

    Args:
        content: what `read_annotations` gave.
        file: the file it came from, for errors.
        folder: where the pictures are.

    Raises:
        DataError: a row that is no object with id and file_name, or an id of two pictures.
    """
    files: dict[Any, Path] = {}
    for number, row in enumerate(content["images"]):
        if wrong := picture_fault(row):
            raise DataError(f"{file}: images {number} is {row!r:.{_SHOWN}}; {wrong}")
        if row["id"] in files:
            raise DataError(f"{file}: images {number} has the id {row['id']!r} of another picture")
        files[row["id"]] = folder / row["file_name"]
    return files


def picture_fault(row: object) -> str:
    """What is wrong with a row of `images`; "" is nothing."""
    if not isinstance(row, dict):
        return "expected an object with id and file_name"
    if not isinstance(row.get("file_name"), str) or not row["file_name"]:
        return "expected a file_name, the picture's name as text"
    return "" if isinstance(row.get("id"), int | float | str) else "expected an id, a number"


def annotation_rows(content: dict[str, Any], file: Path, category: Any = None) -> list[dict[str, Any]]:
    """The annotations of one category, and those without any.

    Args:
        content: what `read_annotations` gave.
        file: the file it came from, for errors.
        category: its id; None is every category.

    Raises:
        DataError: a row that is no object.
    """
    for number, row in enumerate(content["annotations"]):
        if not isinstance(row, dict):
            raise DataError(
                f"{file}: annotations {number} is {row!r:.{_SHOWN}}; expected an object with id, image_id "
                "and bbox"
            )
    rows: list[dict[str, Any]] = content["annotations"]
    if category is None:
        return rows
    return [row for row in rows if row.get("category_id", category) == category]


def corners(row: dict[str, Any], file: Path) -> list[float]:
    """The box of an annotation, x1, y1, x2, y2 px.

    Raises:
        DataError: not four finite numbers.
    """
    box = xywh(row)
    if box is None:
        raise DataError(
            f"{file}: annotation {row!r:.{_SHOWN}} has no usable bbox ({row.get('bbox')!r:.40}); expected "
            "[x, y, width, height] in px"
        )
    x, y, w, h = box
    return [x, y, x + w, y + h]


def xywh(row: dict[str, Any]) -> list[float] | None:
    """The box of an annotation as it is written; None where it is not four finite numbers."""
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return None
    return [float(v) for v in box] if np.isfinite(box).all() else None


def triplets(row: dict[str, Any]) -> list[float] | None:
    """The keypoint numbers of an annotation; empty where there are none, None where they are no numbers."""
    values = row.get("keypoints")
    if values is None:
        return []
    if not isinstance(values, list) or not all(map(_is_number, values)):
        return None
    return [float(v) for v in values]


def keypoint_names(category: dict[str, Any], file: Path) -> list[str]:
    """The names of a category's keypoints; empty where it has none.

    Raises:
        DataError: something else than different names.
    """
    names = category.get("keypoints") or []
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise DataError(
            f"{file}: category '{category.get('name')}' has the keypoints {names!r:.{_SHOWN}}; expected "
            'their names, in order, as COCO has them ("keypoints": ["nose", "left_eye", ...])'
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{file}: category '{category.get('name')}' has several keypoints called {', '.join(twice)}; "
            "expected a name of its own for each"
        )
    return names


def bones(category: dict[str, Any], names: list[str], file: Path) -> list[tuple[int, int]]:
    """Pairs of keypoint indices, 0-based, of a category's skeleton.

    Raises:
        DataError: not pairs of numbers, 1 being the first keypoint and their number the last.
    """
    skeleton = category.get("skeleton") or []
    found = []
    for number, bone in enumerate(skeleton if isinstance(skeleton, list) else [skeleton]):
        if not isinstance(bone, list) or len(bone) != 2 or not all(type(end) is int for end in bone):
            raise DataError(
                f"{file}: bone {number} of category '{category.get('name')}' is {bone!r:.{_SHOWN}}; "
                "expected the numbers of two keypoints, 1 being the first, as COCO has them"
                ' ("skeleton": [[1, 2], [1, 3]])'
            )
        if not all(1 <= end <= len(names) for end in bone):
            raise DataError(
                f"{file}: bone {number} of category '{category.get('name')}' is {bone}, but its "
                f"{len(names)} keypoints are numbered from 1 to {len(names)}; where this skeleton begins "
                "at 0, add 1 to all its numbers"
            )
        found.append((bone[0] - 1, bone[1] - 1))
    return found


def known(value: object, ids: Container[Any]) -> bool:
    """True where a value, of any kind, is one of the ids."""
    return isinstance(value, Hashable) and value in ids


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
