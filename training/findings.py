"""What is wrong with one picture, or with one annotation?"""

from __future__ import annotations

from collections.abc import Container, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import ImageError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.training.missing import Neighbours
from rtmpose_sdk.training.persons import LEAST_SIDE, Source
from rtmpose_sdk.training.rows import known, triplets, xywh

BOX_SLACK = 0.25
"""Parts of a box by which a keypoint may lie outside of it."""


@dataclass(frozen=True)
class Finding:
    """Something about one annotation or picture.

    Attributes:
        kind: "missing picture", "box outside", ...
        where: annotation id, or the picture's name.
        what: the figures.
    """

    kind: str
    where: str
    what: str


def stated_size(row: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height) px of a picture as its row has it; None where it has not."""
    width, height = row.get("width"), row.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def other_size(found: tuple[int, int], said: tuple[int, int]) -> str:
    """Figures of a picture that is not as large as its row says."""
    text = f"file {found}, annotation {said}"
    turned = found == said[::-1]
    return f"{text}: turned by its EXIF orientation, and its labels are not?" if turned else text


def picture_findings(
    source: Source, row: dict[str, Any], decode: bool, neighbours: Neighbours
) -> tuple[list[Finding], tuple[int, int] | None]:
    """What is wrong with a picture, and its (width, height) px as far as they are known.

    Args:
        source: its annotations and folder.
        row: of the picture, which is whole.
        decode: read it; False looks only whether it is there, and believes its stated size.
        neighbours: of the folder, for hints.
    """
    name, said = row["file_name"], stated_size(row)
    if not (source.images / name).is_file():
        hint = neighbours.hint(name)
        what = f"not in {source.images}" + (f"; {hint}" if hint else "")
        return [Finding("missing picture", name, what)], said
    if not decode:
        return [], said
    try:
        height, width = read_image(source.images / name).shape[:2]
    except ImageError as error:
        return [Finding("broken picture", name, str(error))], said
    found = (width, height)
    wrong = [Finding("other size", name, other_size(found, said))] if said and found != said else []
    return wrong, found


def identity_findings(
    name: str, row: dict[str, Any], seen: set[Any], pictures: Container[Any]
) -> list[Finding]:
    """What is wrong with the ids of an annotation.

    Args:
        name: of the annotation.
        row: the annotation.
        seen: ids of other annotations; this one's is added.
        pictures: ids of pictures.
    """
    findings = []
    if known(row.get("id"), seen):
        findings.append(Finding("id used twice", name, "ids must differ"))
    if row.get("id") is None or not isinstance(row["id"], Hashable):
        findings.append(Finding("no id", name, f"{row!r:.60}"))
    else:
        seen.add(row["id"])
    if not known(row.get("image_id"), pictures):
        findings.append(Finding("no picture", name, f"image_id {row.get('image_id')} is not listed"))
    return findings


def crowd_findings(name: str, row: dict[str, Any]) -> list[Finding]:
    """What is wrong with an annotation's `iscrowd`, which may be missing."""
    crowd = row.get("iscrowd")
    if crowd in (None, 0, 1):
        return []
    return [Finding("iscrowd", name, f"{crowd!r} is taken for 1, a crowd; expected 0 or 1")]


def box_findings(name: str, row: dict[str, Any], size: tuple[int, int] | None) -> list[Finding]:
    """What is wrong with the box of an annotation in a picture of `size` px."""
    box = xywh(row)
    if box is None:
        return [Finding("no box", name, f"bbox is {row.get('bbox')!r}; expected [x, y, width, height]")]
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return [Finding("empty box", name, f"{row['bbox']}")]
    if min(w, h) < LEAST_SIDE:
        parts = "; parts of the picture? expected px" if max(map(abs, box)) <= 1 else ""
        return [Finding("tiny box", name, f"{w:g} x {h:g} px: left out of pose training{parts}")]
    if size is not None and (x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0):
        return [Finding("box outside", name, f"{row['bbox']} in a picture of {size[0]}x{size[1]} px")]
    if size is not None and (x < -1 or y < -1 or x + w > size[0] + 1 or y + h > size[1] + 1):
        return [Finding("box leaves picture", name, f"{row['bbox']}, {size[0]}x{size[1]} px; xyxy?")]
    return []


def count_findings(name: str, row: dict[str, Any], keypoints: int) -> list[Finding]:
    """What is wrong with how many keypoints an annotation has; expected are `keypoints`."""
    values = triplets(row)
    if values is None or len(values) != 3 * keypoints:
        what = "not a list of numbers" if values is None else f"{len(values)} numbers"
        more = ", all 0 where nothing is labelled" if values == [] else ""
        return [Finding("keypoint count", name, f"{what}, expected {3 * keypoints}{more}")]
    labelled = sum(v > 0 for v in values[2::3])
    stated = row.get("num_keypoints", labelled)
    if stated != labelled:
        what = f"{stated!r}, but {labelled} are labelled; evaluation skips persons with 0"
        return [Finding("num_keypoints", name, what)]
    return []


def keypoint_findings(
    name: str,
    row: dict[str, Any],
    points: NDArray[np.float64],
    names: list[str],
    size: tuple[int, int] | None,
) -> list[Finding]:
    """What is wrong with where the keypoints (K,3) of an annotation are, in a picture of `size` px."""
    labelled = points[:, 2] > 0
    finite = np.isfinite(points).all(axis=1)
    findings = [Finding("keypoint not finite", name, names[k]) for k in np.flatnonzero(labelled & ~finite)]

    def outside(what: str, low: Any, high: Any) -> None:
        out = labelled & finite & ((points[:, :2] < low) | (points[:, :2] > high)).any(axis=1)
        if out.any():
            where = ", ".join(names[k] for k in np.flatnonzero(out))
            findings.append(Finding(f"keypoint outside {what}", name, where))

    if size is not None:
        outside("picture", -1, np.array(size) + 1)
    box = xywh(row)
    if box is not None and min(box[2:]) > 0:
        corner, sides = np.array(box[:2]), np.array(box[2:])
        outside("box", corner - BOX_SLACK * sides, corner + (1 + BOX_SLACK) * sides)
    return findings
