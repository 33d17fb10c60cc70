"""Which of the annotated pictures are measured on?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rtmpose_sdk.coco import labelled
from rtmpose_sdk.errors import InputError

_SHOWN = 10


def present(
    truth: dict[str, Any],
    images: Path,
    allow_missing: bool,
    advice: str = ", or measure on the others: --allow-missing",
) -> tuple[dict[str, Any], list[str]]:
    """The annotations of the pictures that are there, and the names of those that are not.

    Raises:
        InputError: no folder; some are missing and that is not allowed, what else to do is the `advice`; or
            all are.
    """
    if not images.is_dir():
        raise InputError(f"{images}: not a folder; expected the one with the annotated pictures")
    missing = [row["file_name"] for row in truth["images"] if not (images / row["file_name"]).is_file()]
    if missing and (not allow_missing or len(missing) == len(truth["images"])):
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        what = f"Fetch them{advice}"
        if len(missing) == len(truth["images"]):
            what = "Expected the folder that these names start from"
        raise InputError(
            f"{images}: {len(missing)} of {len(truth['images'])} annotated pictures are missing: "
            f"{', '.join(missing[:_SHOWN])}{more}. {what}"
        )
    gone = set(missing)
    return _of(truth, [row for row in truth["images"] if row["file_name"] not in gone]), missing


def single_person(truth: dict[str, Any]) -> dict[str, Any]:
    """The pictures with exactly one person, posed: the paper's COCO-SinglePerson (Table 9).

    Raises:
        InputError: there is none.
    """
    persons = Counter(row["image_id"] for row in truth["annotations"])
    posed = {
        row["image_id"] for row in truth["annotations"] if labelled(row) > 0 and not row.get("iscrowd")
    }
    rows = [row for row in truth["images"] if persons[row["id"]] == 1 and row["id"] in posed]
    if not rows:
        raise InputError("no annotated picture has exactly one person (--single-person)")
    return _of(truth, rows)


def named(truth: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The pictures of these file names."""
    return _of(truth, [row for row in truth["images"] if row["file_name"] in names])


def _of(truth: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    ids = {row["id"] for row in images}
    rows = [row for row in truth["annotations"] if row.get("image_id") in ids]
    return {**truth, "images": images, "annotations": rows}
