"""Are the rows of COCO annotations whole? What is measured on them fails before the work, not after it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.values import is_number

_BOX = 4


def check_rows(content: dict[str, Any], file: Path) -> None:
    """Pictures and annotations have ids of their own and belong together; values are of their kinds.

    Args:
        content: what `rtmpose_sdk.coco.read_annotations` gave.
        file: the file it came from, for errors.

    Raises:
        InputError: not so; it names the row.
    """
    for part in ("images", "annotations"):
        ids = [row.get("id") if isinstance(row, dict) else None for row in content[part]]
        if None in ids:
            raise InputError(f"{file}: {part} {ids.index(None)} (of {len(ids)}) has no id")
        twice = [i for i, count in Counter(map(_hashable, ids)).items() if count > 1]
        if twice:
            raise InputError(f"{file}: {_some(twice)} of {part} belong to several; expected one each")
    for row in content["categories"]:
        if isinstance(row, dict) and type(row.get("id", 0)) is not int:
            raise InputError(f"{file}: a category has id {row['id']!r}; expected whole numbers")
    for row in content["images"]:
        if not isinstance(row.get("file_name"), str) or not row["file_name"]:
            raise InputError(f"{file}: the picture with id {row['id']} has no file_name")
    _check_belonging(content, file)
    for row in content["annotations"]:
        if wrong := _wrong(row):
            raise InputError(f"{file}: annotation {row['id']}: {wrong}")


def _check_belonging(content: dict[str, Any], file: Path) -> None:
    pictures = {row["id"] for row in content["images"]}
    kinds = {row.get("id") for row in content["categories"] if isinstance(row, dict)} - {None}
    for key, known, where in (
        ("image_id", pictures, "'images'; are two files mixed up?"),
        ("category_id", kinds, f"'categories' (which has {_some(sorted(kinds, key=str)) or 'none'})"),
    ):
        lost = [row["id"] for row in content["annotations"] if _hashable(row.get(key)) not in known]
        if lost:
            raise InputError(
                f"{file}: {len(lost)} of {len(content['annotations'])} annotations ({_some(lost)}) have "
                f"{'an' if key == 'image_id' else 'a'} {key} that is not in {where}"
            )


def _wrong(row: dict[str, Any]) -> str | None:
    """What an annotation's values should be and are not."""
    box: Any = row.get("bbox")
    if not _are_numbers(box) or len(box) != _BOX:
        return f"bbox is {box!r:.60}; expected the four numbers x, y, width, height"
    if "area" in row and not (_are_numbers([row["area"]]) and row["area"] >= 0):
        return f"area is {row['area']!r:.60}; expected px², or none at all"
    points = [] if row.get("keypoints") is None else row["keypoints"]
    if not _are_numbers(points) or len(points) % 3:
        many = f"a list of {len(points)}" if isinstance(points, list) else repr(points)
        return f"keypoints are {many:.60}; expected the numbers x, y, v of each"
    count = row.get("num_keypoints", 0)
    if type(count) is not int or count < 0:
        return f"num_keypoints is {count!r:.60}; expected how many of its {len(points) // 3} are labelled"
    return None


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(map(is_number, values))


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else repr(value)


def _some(ids: list[Any]) -> str:
    if not ids:
        return ""
    shown = ", ".join(map(str, ids[:5]))
    return f"ids {shown}" + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
