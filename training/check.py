"""What is wrong with training data? What a person would only see after hours of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import person_category, read_annotations
from rtmpose_sdk.drawing import keypoint_colors
from rtmpose_sdk.errors import DataError, ImageError
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet, keypoint_set_named
from rtmpose_sdk.sheets import contact_sheet
from rtmpose_sdk.training.persons import LEAST_SIDE, Source

BOX_SLACK = 0.25
"""Parts of a box by which a keypoint may lie outside of it."""
SWAPPED_PART = 0.3
"""Of a person's pairs that cross the others, from which on a swap is suspected."""
NARROW = 0.15
"""Of the widest pair; narrower ones (a person from the side) say nothing. With these two, none of 47 fully
labelled persons of COCO val2017 is suspected, and each is once shoulders, hips and knees are exchanged."""
LEAST_PAIRS = 3
_TILE = 160
_TILES = 48


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


def check(source: Source, track: Callable[[Iterable[Any]], Iterable[Any]] = iter) -> DataReport:
    """Look at every picture and annotation of a source.

    Raises:
        InputError: not COCO annotations, or no category that is posed.
        DataError: nothing at all to learn from.
    """
    content = read_annotations(source.annotations)
    category = person_category(content, source.annotations)
    names = [str(name) for name in category.get("keypoints") or []]
    pictures = {row.get("id"): row for row in content["images"]}
    findings: list[Finding] = []
    sizes: dict[Any, tuple[int, int]] = {}
    for row in track(content["images"]):
        found = _picture(source, row)
        if isinstance(found, Finding):
            findings.append(found)
        else:
            sizes[row["id"]] = found
            said = (row.get("width"), row.get("height"))
            if None not in said and said != found:
                findings.append(
                    Finding("other size", str(row["file_name"]), f"file {found}, annotation {said}")
                )
    persons = labelled = 0
    counts = np.zeros(len(names), int)
    rows = [r for r in content["annotations"] if r.get("category_id", category["id"]) == category["id"]]
    pairs = _pairs(keypoint_set_named("checked", names))
    seen: set[Any] = set()
    for row in rows:
        name = f"annotation {row.get('id')}"
        if row.get("id") in seen:
            findings.append(Finding("id used twice", name, "ids must differ"))
        seen.add(row.get("id"))
        if row.get("image_id") not in pictures:
            findings.append(Finding("no picture", name, f"image_id {row.get('image_id')} is not listed"))
            continue
        if row.get("iscrowd"):
            continue
        persons += 1
        size = sizes.get(row["image_id"])
        findings += _box(name, row, size)
        values = row.get("keypoints")
        if not names or values is None:
            continue
        try:
            points = np.array(values, float).reshape(len(names), 3)
        except ValueError:
            findings.append(
                Finding("keypoint count", name, f"{len(values)} numbers, expected {3 * len(names)}")
            )
            continue
        known = points[:, 2] > 0
        if known.any() and row.get("num_keypoints") != int(known.sum()):
            findings.append(
                Finding(
                    "num_keypoints",
                    name,
                    f"{row.get('num_keypoints', 'absent')}, but {int(known.sum())} are labelled; without "
                    "it, evaluation skips the person",
                )
            )
        counts += known
        labelled += bool(known.any())
        findings += _keypoints(name, row, points, known, names, size)
        findings += _swaps(name, points, known, pairs)
    if persons == 0:
        raise DataError(
            f"{source.annotations}: no person of category '{category.get('name')}' among "
            f"{len(content['annotations'])} annotations; there is nothing to learn from"
        )
    if names and labelled == 0:
        findings.append(Finding("no keypoints", source.annotations.name, f"on none of {persons} persons"))
    for name, count in zip(names, counts.tolist(), strict=True):
        if labelled and count == 0:
            findings.append(Finding("never labelled", name, "it cannot be learned"))
    return DataReport(
        len(pictures), persons, labelled, dict(zip(names, counts.tolist(), strict=True)), findings
    )


def _picture(source: Source, row: dict[str, Any]) -> Finding | tuple[int, int]:
    """(width, height) px, or what is wrong."""
    name = row.get("file_name")
    if not isinstance(name, str) or "id" not in row:
        return Finding("picture row", f"{row!r:.60}", "needs id and file_name")
    if not (source.images / name).is_file():
        return Finding("missing picture", name, f"not in {source.images}")
    try:
        picture = read_image(source.images / name)
    except ImageError as error:
        return Finding("broken picture", name, str(error))
    return picture.shape[1], picture.shape[0]


def _box(name: str, row: dict[str, Any], size: tuple[int, int] | None) -> list[Finding]:
    try:
        x, y, w, h = map(float, row["bbox"])
    except (KeyError, TypeError, ValueError):
        return [Finding("no box", name, f"bbox is {row.get('bbox')}; expected [x, y, width, height]")]
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
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
    box = row.get("bbox")
    if isinstance(box, list) and len(box) == 4 and min(box[2:]) > 0:
        low = np.array(box[:2]) - BOX_SLACK * np.array(box[2:])
        high = np.array(box[:2]) + (1 + BOX_SLACK) * np.array(box[2:])
        out = known & inside & ((points[:, :2] < low) | (points[:, :2] > high)).any(axis=1)
        if out.any():
            where = ", ".join(names[k] for k in np.flatnonzero(out))
            findings.append(Finding("keypoint outside box", name, where))
    return findings


def _pairs(keypoint_set: KeypointSet) -> list[tuple[int, int]]:
    """(left, right) indices: a pair's first keypoint is the one whose name says left."""
    pairs = []
    for i, j in enumerate(keypoint_set.flip_indices):
        name = keypoint_set.names[i].lower()
        if i != j and ("left" in name or name.startswith(("l_", "l-")) or name.endswith(("_l", "-l"))):
            pairs.append((i, j))
    return pairs


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


def sheet(source: Source, keypoint_set: KeypointSet, seed: int = 0) -> NDArray[np.uint8]:
    """Random labelled persons with their keypoints drawn, (H,W,3) uint8 BGR.

    Raises:
        DataError: no labelled person.
    """
    content = read_annotations(source.annotations)
    files = {row["id"]: row["file_name"] for row in content["images"]}
    rows = [
        row
        for row in content["annotations"]
        if not row.get("iscrowd")
        and any(v > 0 for v in (row.get("keypoints") or [])[2::3])
        and (source.images / str(files.get(row.get("image_id")))).is_file()
        and min(row.get("bbox") or [0, 0, 0, 0][2:]) >= 0
    ]
    if not rows:
        raise DataError(f"{source.annotations}: no person with keypoints in a picture that is there")
    rng = np.random.default_rng(seed)
    tiles, captions = [], []
    for i in rng.permutation(len(rows))[:_TILES]:
        tiles.append(_drawn(rows[i], source.images / files[rows[i]["image_id"]], keypoint_set))
        captions.append(f"id {rows[i].get('id')}")
    return contact_sheet(tiles, captions, columns=8)


def _drawn(row: dict[str, Any], file: Path, keypoint_set: KeypointSet) -> NDArray[np.uint8]:
    x, y, w, h = row["bbox"]
    box = np.array([[x, y, x + max(w, 1), y + max(h, 1)]], np.float32)
    crops = crop_boxes(read_image(file), box, (_TILE, _TILE), 1.25)
    tile: NDArray[np.uint8] = crops.images[0]
    points = np.array(row["keypoints"], np.float32).reshape(-1, 3)
    places = (points[:, :2] - crops.origins[0]) / crops.scales[0]
    colors = keypoint_colors(keypoint_set)
    for a, b in keypoint_set.skeleton:
        if points[a, 2] > 0 and points[b, 2] > 0:
            start, end = (tuple(int(v) for v in places[k]) for k in (a, b))
            cv2.line(tile, start, end, colors[a], 1, cv2.LINE_AA)
    for k in np.flatnonzero(points[:, 2] > 0):
        cv2.circle(tile, tuple(int(v) for v in places[k]), 2, colors[k], cv2.FILLED, cv2.LINE_AA)
    return tile
