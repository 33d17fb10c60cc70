"""What do the labels look like on their pictures?"""

from __future__ import annotations

import contextlib
import functools
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
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.sheets import contact_sheet
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.rows import annotation_rows, known, picture_fault, triplets, xywh

_TILE = 160
_TILES = 48
_CAPTION = 22
"""Last characters of a picture's name that have room above its tile."""
_BOX = (60, 220, 60)


def sheet(source: Source, keypoint_set: KeypointSet | None, seed: int = 0) -> NDArray[np.uint8]:
    """Random labelled persons with their keypoints drawn, (H,W,3) uint8 BGR; broken pictures are left out.

    Args:
        source: annotations and pictures.
        keypoint_set: of the annotations; None shows whole pictures with their boxes, as a detector learns
            them.
        seed: of the choice.

    Raises:
        DataError: no labelled person, or no box.
    """
    content = read_annotations(source.annotations)
    category = person_category(content, source.annotations)["id"]
    objects = [row for row in content["annotations"] if isinstance(row, dict)]
    files = {r["id"]: r["file_name"] for r in content["images"] if not picture_fault(r)}
    rows = [
        row
        for row in annotation_rows({"annotations": objects}, source.annotations, category)
        if not row.get("iscrowd")
        and _fits(row, None if keypoint_set is None else len(keypoint_set))
        and known(row.get("image_id"), files)
        and (source.images / files[row["image_id"]]).is_file()
    ]
    if keypoint_set is None:
        named: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            named.setdefault(files[row["image_id"]], []).append(row)
        drawings = [
            (name[-_CAPTION:], functools.partial(_boxed, them, source.images / name))
            for name, them in named.items()
        ]
    else:
        drawings = [
            (
                f"id {row.get('id')}",
                functools.partial(_drawn, row, source.images / files[row["image_id"]], keypoint_set),
            )
            for row in rows
        ]
    tiles: list[NDArray[np.uint8]] = []
    captions = []
    for i in np.random.default_rng(seed).permutation(len(drawings)):
        if len(tiles) == _TILES:
            break
        caption, draw = drawings[i]
        with contextlib.suppress(ImageError):
            tiles.append(draw())
            captions.append(caption)
    if not tiles:
        what = "box" if keypoint_set is None else "person with keypoints"
        raise DataError(f"{source.annotations}: no {what} in a picture that is there")
    return contact_sheet(tiles, captions, columns=8)


def _fits(row: dict[str, Any], keypoints: int | None) -> bool:
    """True for a person with a box and keypoints, one of them labelled; None asks for a box alone."""
    box, values = xywh(row), triplets(row)
    if keypoints is None:
        return box is not None
    if box is None or values is None or len(values) != 3 * keypoints or not np.isfinite(values).all():
        return False
    return min(box[2:]) >= 0 and any(v > 0 for v in values[2::3])


def _boxed(rows: list[dict[str, Any]], file: Path) -> NDArray[np.uint8]:
    """A whole picture with its boxes."""
    picture = read_image(file)
    height, width = picture.shape[:2]
    longest = max(height, width)
    size = max(round(width * _TILE / longest), 1), max(round(height * _TILE / longest), 1)
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for row in rows:
        x, y, w, h = np.array(row["bbox"]) * _TILE / longest
        ends = np.clip([x, y, x + w, y + h], -_TILE, 2 * _TILE).round().astype(int)
        cv2.rectangle(tile, ends[:2].tolist(), ends[2:].tolist(), _BOX, 1)
    return tile


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
