"""What does a JSONL file of results hold? Read back line by line, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.values import is_number


def read_json_lines(path: Path, on_broken: Callable[[int], None] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file that `JsonLinesWriter` wrote.

    Args:
        path: the file.
        on_broken: called with the offset of a last line that is not whole, instead of an error.

    Raises:
        InputError: unreadable, or not such a file.
    """
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    if not line.endswith(b"\n"):
                        raise ValueError("it has no end")
                    if lacking := _lacking(row):
                        raise ValueError(f"expected {lacking}")
                except ValueError as error:
                    if on_broken is not None and not line.endswith(b"\n"):
                        on_broken(offset)
                        return
                    raise InputError(
                        f"{path}: line {number} is no result of a frame ({error}); expected a file that "
                        "`rtmpose predict --save jsonl` wrote"
                    ) from None
                yield row
                offset += len(line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _lacking(row: object) -> str | None:
    """What a row of JSONL should have and has not."""
    if not isinstance(row, dict):
        return "an object"
    if type(row.get("frame")) is not int:
        return "'frame', a whole number"
    if not is_number(row.get("time")):
        return "'time', seconds"
    persons = row.get("persons")
    if not isinstance(persons, list) or not all(isinstance(person, dict) for person in persons):
        return "'persons', a list of objects"
    for person in persons:
        if type(person.get("track_id", 0)) is not int:
            return "'track_id' of a person to be a whole number"
        points = person.get("keypoints")
        if not isinstance(points, dict) or not all(map(_is_point, points.values())):
            return "'keypoints' of a person by name, each with the numbers x, y and confidence"
    return None


def _is_point(value: object) -> bool:
    return isinstance(value, dict) and all(is_number(value.get(key)) for key in ("x", "y", "confidence"))
