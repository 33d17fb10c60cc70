"""Who was posed worst? A sheet to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.matched import Matched
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.sheets import contact_sheet

_TILE = 240
_MARGIN = 0.25
_TRUTH, _FOUND = (60, 220, 60), (60, 60, 255)


def worst_sheet(
    persons: Sequence[Matched], count: int, images: Path, keypoint_set: KeypointSet
) -> NDArray[np.uint8]:
    """The `count` persons of the lowest OKS, (H,W,3) uint8 BGR: truth green, found red."""
    worst = sorted(persons, key=lambda p: p.oks)[:count]
    tiles = [_tile(p, read_image(images / p.picture["file_name"]), keypoint_set) for p in worst]
    return contact_sheet(tiles, [f"{p.oks:.2f} {p.picture['file_name'][-16:]}" for p in worst])


def _tile(person: Matched, picture: NDArray[np.uint8], keypoint_set: KeypointSet) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = person.box
    side = max(x2 - x1, y2 - y1, 8.0) * (1 + 2 * _MARGIN)
    factor = _TILE / side
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    matrix = np.array([[factor, 0, -left * factor], [0, factor, -top * factor]], np.float32)
    tile = cv2.warpAffine(picture, matrix, (_TILE, _TILE))
    for points, color in ((person.truth, _TRUTH), (person.found, _FOUND)):
        places = (points - [left, top]) * factor
        good = person.labelled & np.isfinite(places).all(axis=1) & (np.abs(places) < 4 * _TILE).all(axis=1)
        for a, b in keypoint_set.skeleton:
            if good[a] and good[b]:
                ends = [tuple(int(v) for v in places[k]) for k in (a, b)]
                cv2.line(tile, ends[0], ends[1], color, 1, cv2.LINE_AA)
        for k in np.flatnonzero(good):
            cv2.circle(tile, tuple(int(v) for v in places[k]), 3, color, -1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
