"""Which persons does a COCO annotation file hold, and where are they?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError

_PARTS = ("images", "annotations", "categories")


def read_annotations(file: Path) -> dict[str, Any]:
    """The content of a COCO json file.

    Raises:
        InputError: unreadable, not JSON, or of another kind.
    """
    return as_annotations(read_json(file), file)


def read_json(file: Path) -> Any:
    """The content of a json file.

    Raises:
        InputError: unreadable, or not JSON.
    """
    try:
        return json.loads(file.read_text("utf-8-sig"))  # Windows writes a mark of the order of bytes
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error})") from None


def as_annotations(content: Any, file: Path) -> dict[str, Any]:
    """A file's content, where it is COCO annotations.

    Raises:
        InputError: of another kind.
    """
    if not isinstance(content, dict) or not all(isinstance(content.get(p), list) for p in _PARTS):
        raise InputError(f"{file}: not COCO annotations; expected an object with {', '.join(_PARTS)}")
    return content


def labelled(row: dict[str, Any]) -> int:
    """How many keypoints of an annotation are labelled: as it says, else those that are (v > 0)."""
    if "num_keypoints" in row:
        return int(row["num_keypoints"])
    return sum(seen > 0 for seen in (row.get("keypoints") or [])[2::3])


def person_category(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """The category that is posed: the one called "person", else the only one, the only one with keypoints,
    or the only one that annotations have (Roboflow lists a parent that has none).

    Args:
        content: what `read_annotations` gave.
        file: the file it came from, for errors.

    Raises:
        InputError: no category, or several and none of these tells.
    """
    rows = [row for row in content["categories"] if isinstance(row, dict) and "id" in row]
    named = [row for row in rows if row.get("name") == "person"]
    used = [row.get("category_id") for row in content["annotations"] if isinstance(row, dict)]
    had = {identity for identity in used if isinstance(identity, int | str)}
    for group in (
        named,
        rows,
        [row for row in rows if row.get("keypoints")],
        [row for row in rows if isinstance(row["id"], int | str) and row["id"] in had],
    ):
        if len(group) == 1:
            category: dict[str, Any] = group[0]
            return category
    names = ", ".join(str(row.get("name")) for row in rows) or "none"
    raise InputError(
        f"{file}: categories are {names}; expected one called 'person', or a single one (with the names of "
        "its keypoints under 'keypoints'). One kind is learned or measured at a time: call its category "
        "'person', whatever it shows, or leave the others out"
    )


def person_boxes(content: dict[str, Any], file: Path) -> dict[int, NDArray[np.float32]]:
    """Boxes (N,4) xyxy px of the persons that have keypoints and are no crowd, by picture id.

    Args:
        content: what `read_annotations` gave.
        file: the file it came from, for errors.

    Raises:
        InputError: an annotation without picture or box.
    """
    boxes: dict[int, list[list[float]]] = {}
    for row in content["annotations"]:
        try:
            x, y, w, h = row["bbox"]
            if labelled(row) > 0 and not row.get("iscrowd"):
                boxes.setdefault(row["image_id"], []).append([x, y, x + w, y + h])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}: annotation {row!r:.80} has no usable bbox or image_id ({error})"
            ) from None
    return {image: np.array(rows, np.float32) for image, rows in boxes.items()}
