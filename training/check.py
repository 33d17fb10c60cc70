"""What is wrong with training data? What a person would only see after hours of training."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import person_category, read_annotations
from rtmpose_sdk.errors import DataError, ImageError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet, keypoint_set_named, names_a_side
from rtmpose_sdk.training.missing import Neighbours
from rtmpose_sdk.training.persons import LEAST_SIDE, Source, posed_set
from rtmpose_sdk.training.rows import keypoint_names, known, picture_fault, triplets, xywh

Track = Callable[[Iterable[Any]], Iterable[Any]]
"""Shows progress over rows."""

BOX_SLACK = 0.25
"""Parts of a box by which a keypoint may lie outside of it."""
SWAPPED_PART = 0.3
"""Of a person's pairs that cross the others, from which on a swap is suspected."""
NARROW = 0.15
"""Of the widest pair; narrower ones (a person from the side) say nothing. With these two, none of 47 fully
labelled persons of COCO val2017 is suspected, and each is once shoulders, hips and knees are exchanged."""
LEAST_PAIRS = 3


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


@dataclass(frozen=True)
class DataReport:
    """What is in a source, and what is wrong with it.

    Attributes:
        pictures, persons, labelled: counts; labelled persons have a keypoint.
        keypoints: labelled keypoints by name.
        findings: in the order of the file.
    """

    pictures: int
    persons: int
    labelled: int
    keypoints: dict[str, int]
    findings: list[Finding]


def check(source: Source, track: Track = iter) -> DataReport:
    """Look at every picture and annotation of a source.

    Raises:
        InputError: not COCO annotations, or no category that is posed.
        DataError: nothing at all to learn from, or keypoint names of another shape.
    """
    content = read_annotations(source.annotations)
    report = look_at(content, source, track=track)
    if report.persons == 0:
        category = person_category(content, source.annotations)
        rows = [row for row in content["annotations"] if isinstance(row, dict)]
        rows = [row for row in rows if row.get("category_id", category["id"]) == category["id"]]
        single = [row for row in rows if not row.get("iscrowd")]
        if single:
            raise DataError(
                f"{source.annotations}: {len(single)} persons, and the id that one of them names is no "
                f"picture's (image_id {single[0].get('image_id')!r}){_such_as(content)}; there is "
                "nothing to learn from"
            )
        if rows:
            raise DataError(
                f"{source.annotations}: all {len(rows)} persons are crowds (iscrowd 1); there is nothing "
                "to learn from"
            )
        raise DataError(
            f"{source.annotations}: no person of category '{category.get('name')}' among "
            f"{len(content['annotations'])} annotations; there is nothing to learn from"
        )
    return report


def look_at(
    content: dict[str, Any],
    source: Source,
    decode: bool = True,
    keypoints: bool = True,
    track: Track = iter,
) -> DataReport:
    """The same of annotations that were read.

    Args:
        content: what `read_annotations` gave.
        source: where it came from, and its pictures.
        decode: read every picture; False looks only whether it is there, and believes its stated size.
        keypoints: look at them, too; a detector has no use for them.
        track: shows progress over the rows of pictures.

    Raises:
        InputError, DataError: see `check`.
    """
    category = person_category(content, source.annotations)
    names = keypoint_names(category, source.annotations) if keypoints else []
    findings: list[Finding] = []
    if names:
        try:
            posed_set(category, names, source.annotations)
        except DataError as error:
            findings.append(Finding("skeleton", source.annotations.name, str(error)))
    pictures: set[Any] = set()
    neighbours = Neighbours(source.images)
    sizes: dict[Any, tuple[int, int]] = {}
    for number, row in enumerate(track(content["images"])):
        if fault := picture_fault(row):
            findings.append(Finding("picture row", f"images {number}", f"{row!r:.60}: {fault}"))
            continue
        if row["id"] in pictures:
            findings.append(
                Finding("id used twice", row["file_name"], f"id {row['id']!r} is another picture's")
            )
        pictures.add(row["id"])
        said = stated_size(row)
        found = _picture(source, row["file_name"], decode, neighbours)
        if isinstance(found, Finding):
            findings.append(found)
        elif found and said and found != said:
            findings.append(Finding("other size", row["file_name"], other_size(found, said)))
        size = said if isinstance(found, Finding) else found or said
        if size:
            sizes[row["id"]] = size
    persons = labelled = unnamed = 0
    counts = np.zeros(len(names), int)
    pairs = _pairs(keypoint_set_named("checked", names))
    seen: set[Any] = set()
    for number, row in enumerate(content["annotations"]):
        if not isinstance(row, dict):
            findings.append(Finding("annotation row", f"annotations {number}", f"{row!r:.60}: no object"))
            continue
        if row.get("category_id", category["id"]) != category["id"]:
            continue
        name = f"annotation {row.get('id')}"
        findings += _identity(name, row, seen, pictures)
        if not known(row.get("image_id"), pictures) or row.get("iscrowd"):
            continue
        persons += 1
        size = sizes.get(row["image_id"])
        findings += _box(name, row, size)
        if not names and keypoints and row.get("keypoints"):
            unnamed += 1
        if not names or "keypoints" not in row:
            continue
        values = triplets(row)
        if values is None or len(values) != 3 * len(names):
            what = "not a list of numbers" if values is None else f"{len(values)} numbers"
            more = ", all 0 where nothing is labelled" if values == [] else ""
            findings.append(Finding("keypoint count", name, f"{what}, expected {3 * len(names)}{more}"))
            continue
        points = np.array(values, float).reshape(len(names), 3)
        visible = points[:, 2] > 0
        stated = row.get("num_keypoints", int(visible.sum()))
        if stated != int(visible.sum()):
            what = f"{stated!r}, but {int(visible.sum())} are labelled; evaluation skips persons with 0"
            findings.append(Finding("num_keypoints", name, what))
        counts += visible
        labelled += bool(visible.any())
        findings += _keypoints(name, row, points, visible, names, size)
        findings += _swaps(name, points, visible, pairs)
    if names and persons and labelled == 0:
        findings.append(Finding("no keypoints", source.annotations.name, f"on none of {persons} persons"))
    if unnamed:
        what = f"{unnamed} persons have keypoints; list their names under 'keypoints' of the category"
        findings.append(Finding("no keypoint names", f"category '{category.get('name')}'", what))
    for name, count in zip(names, counts.tolist(), strict=True):
        if labelled and count == 0:
            findings.append(Finding("never labelled", name, "it cannot be learned"))
    return DataReport(
        len(pictures), persons, labelled, dict(zip(names, counts.tolist(), strict=True)), findings
    )


def _identity(name: str, row: dict[str, Any], seen: set[Any], pictures: set[Any]) -> list[Finding]:
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


def stated_size(row: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height) px of a picture as its row has it; None where it has not."""
    width, height = row.get("width"), row.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def other_size(found: tuple[int, int], said: tuple[int, int]) -> str:
    """Figures of a picture that is not as large as its row says."""
    text = f"file {found}, annotation {said}"
    turned = found == said[::-1]
    return f"{text}: turned by its EXIF orientation, and its labels are not?" if turned else text


def _such_as(content: dict[str, Any]) -> str:
    ids = [row["id"] for row in content["images"] if not picture_fault(row)]
    return f"; pictures have ids such as {ids[0]!r}" if ids else ""


def _picture(
    source: Source, name: str, decode: bool, neighbours: Neighbours
) -> Finding | tuple[int, int] | None:
    """(width, height) px where it is decoded, or what is wrong."""
    if not (source.images / name).is_file():
        hint = neighbours.hint(name)
        return Finding("missing picture", name, f"not in {source.images}" + (f"; {hint}" if hint else ""))
    if not decode:
        return None
    try:
        picture = read_image(source.images / name)
    except ImageError as error:
        return Finding("broken picture", name, str(error))
    return picture.shape[1], picture.shape[0]


def _box(name: str, row: dict[str, Any], size: tuple[int, int] | None) -> list[Finding]:
    box = xywh(row)
    if box is None:
        return [Finding("no box", name, f"bbox is {row.get('bbox')!r}; expected [x, y, width, height]")]
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return [Finding("empty box", name, f"{row['bbox']}")]
    if min(w, h) < LEAST_SIDE:
        return [Finding("tiny box", name, f"{w:g} x {h:g} px: left out of pose training")]
    if size is not None and (x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0):
        return [Finding("box outside", name, f"{row['bbox']} in a picture of {size[0]}x{size[1]} px")]
    if size is not None and (x < -1 or y < -1 or x + w > size[0] + 1 or y + h > size[1] + 1):
        return [Finding("box leaves picture", name, f"{row['bbox']}, {size[0]}x{size[1]} px; xyxy?")]
    return []


def _keypoints(
    name: str,
    row: dict[str, Any],
    points: NDArray[np.float64],
    known: NDArray[np.bool_],
    names: list[str],
    size: tuple[int, int] | None,
) -> list[Finding]:
    wrong = np.flatnonzero(known & ~np.isfinite(points).all(axis=1))
    findings = [Finding("keypoint not finite", name, names[k]) for k in wrong]
    inside = np.isfinite(points).all(axis=1)
    if size is not None:
        out = known & inside & ((points[:, :2] < -1) | (points[:, :2] > np.array(size) + 1)).any(axis=1)
        if out.any():
            where = ", ".join(names[k] for k in np.flatnonzero(out))
            findings.append(Finding("keypoint outside picture", name, where))
    box = xywh(row)
    if box is not None and min(box[2:]) > 0:
        low = np.array(box[:2]) - BOX_SLACK * np.array(box[2:])
        high = np.array(box[:2]) + (1 + BOX_SLACK) * np.array(box[2:])
        out = known & inside & ((points[:, :2] < low) | (points[:, :2] > high)).any(axis=1)
        if out.any():
            where = ", ".join(names[k] for k in np.flatnonzero(out))
            findings.append(Finding("keypoint outside box", name, where))
    return findings


def _pairs(keypoint_set: KeypointSet) -> list[tuple[int, int]]:
    """(left, right) indices: a pair's first keypoint is the one whose name says left."""
    names = [name.lower() for name in keypoint_set.names]
    pairs = []
    for i, j in enumerate(keypoint_set.flip_indices):
        differing = next((a for a, b in zip(names[i], names[j], strict=False) if a != b), "")
        if differing == "l":
            pairs.append((i, j))
    return pairs


def mirror_pairs(keypoint_set: KeypointSet) -> str:
    """One line for a person: which keypoints change places in a mirrored picture, and who is left alone."""
    flips, names = keypoint_set.flip_indices, keypoint_set.names
    pairs = [f"{names[i]} - {names[j]}" for i, j in enumerate(flips) if i < j]
    alone = [name for i, name in enumerate(names) if flips[i] == i]
    text = f"mirror pairs, by their names: {', '.join(pairs) or 'none'}"
    if any(map(names_a_side, alone)):
        text += f"; in no pair: {', '.join(alone)}"
    return text


def _swaps(
    name: str, points: NDArray[np.float64], known: NDArray[np.bool_], pairs: list[tuple[int, int]]
) -> list[Finding]:
    """A person is seen from the front or from behind: all pairs point the same way, or some are swapped."""
    sides = [np.sign(points[i, 0] - points[j, 0]) for i, j in pairs if known[i] and known[j]]
    if len(sides) < LEAST_PAIRS:
        return []
    wide = [abs(points[i, 0] - points[j, 0]) for i, j in pairs if known[i] and known[j]]
    clear = [s for s, w in zip(sides, wide, strict=True) if w > NARROW * max(wide)]
    minority = min(clear.count(1), clear.count(-1))
    if len(clear) >= LEAST_PAIRS and minority >= SWAPPED_PART * len(clear):
        return [Finding("left and right swapped?", name, f"{minority} of {len(clear)} pairs cross")]
    return []
