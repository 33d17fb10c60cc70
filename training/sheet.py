"""What do the labels look like on their pictures?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import read_annotations
from rtmpose_sdk.drawing import keypoint_colors
from rtmpose_sdk.errors import DataError
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.sheets import contact_sheet
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.rows import known, picture_fault, triplets, xywh

_TILE = 160
_TILES = 48


def sheet(source: Source, keypoint_set: KeypointSet, seed: int = 0) -> NDArray[np.uint8]:
    """Random labelled persons with their keypoints drawn, (H,W,3) uint8 BGR.

    Raises:
        DataError: no labelled person.
    """
    content = read_annotations(source.annotations)
    files = {r["id"]: r["file_name"] for r in content["images"] if not picture_fault(r)}
    rows = [
        row
        for row in content["annotations"]
        if isinstance(row, dict)
        and not row.get("iscrowd")
        and _fits(row, len(keypoint_set))
        and known(row.get("image_id"), files)
        and (source.images / files[row["image_id"]]).is_file()
    ]
    if not rows:
        raise DataError(f"{source.annotations}: no person with keypoints in a picture that is there")
    rng = np.random.default_rng(seed)
    tiles, captions = [], []
    for i in rng.permutation(len(rows))[:_TILES]:
        tiles.append(_drawn(rows[i], source.images / files[rows[i]["image_id"]], keypoint_set))
        captions.append(f"id {rows[i].get('id')}")
    return contact_sheet(tiles, captions, columns=8)


def _fits(row: dict[str, Any], keypoints: int) -> bool:
    """True for a person with a box and keypoints, one of them labelled, that can be drawn."""
    box, values = xywh(row), triplets(row)
    if box is None or values is None or len(values) != 3 * keypoints or not np.isfinite(values).all():
        return False
    return min(box[2:]) >= 0 and any(v > 0 for v in values[2::3])


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
