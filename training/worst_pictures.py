"""In which pictures does a detector miss most persons, or find most that are not there?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import box_areas, intersections, iou
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.images import read_image, write_image
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.sheets import contact_sheet
from rtmpose_sdk.training.persons import Floats, Source
from rtmpose_sdk.training.pictures import read_pictures

WORST_PICTURES = 24
SCORE_THRESHOLD = DEFAULT_DETECTION_THRESHOLD
"""The card's is lower, for measuring, and would show boxes that nobody gets."""
OVERLAP = 0.5
"""IoU from which on a box is a person's: AP50's."""
_TILE = 192
_CAPTION = 25
"""Characters of the counts and of the end of the picture's name that have room above a tile."""
_MISSED, _FALSE, _RIGHT = (255, 255, 255), (40, 40, 230), (60, 200, 60)


class Mistakes(NamedTuple):
    """Which persons (n,) no box answers for, and which boxes (m,) answer for nobody."""

    missed: NDArray[np.bool_]
    false: NDArray[np.bool_]


def mistakes(persons: Floats, crowds: Floats, boxes: Floats) -> Mistakes:
    """Match boxes to persons, each at most once.

    Args:
        persons: (n,4) xyxy px.
        crowds: (k,4) xyxy px of persons that are not boxed one by one: a box in there is not false.
        boxes: (m,4) xyxy px, best first.
    """
    missed = np.ones(len(persons), bool)
    false = np.ones(len(boxes), bool)
    overlaps = iou(boxes, persons)
    for i in range(len(boxes)):
        free = np.where(missed, overlaps[i], 0.0)
        if len(free) and free.max() >= OVERLAP:
            missed[free.argmax()] = false[i] = False
        elif len(crowds):
            false[i] = _inside(boxes[i], crowds).max() < OVERLAP
    return Mistakes(missed, false)


def write_worst_pictures(source: Source, artifact: Path, file: Path) -> int:
    """Draw the pictures with most mistakes, of boxes that a Pipeline takes: see `SCORE_THRESHOLD`.

    Missed persons are white, false boxes red, right ones green. The captions count them and name the file.

    Args:
        source: validation data.
        artifact: a detector.
        file: the picture that is written; nothing where there is no mistake.

    Returns:
        How many pictures are drawn.
    """
    pictures = read_pictures([source])
    found: list[tuple[int, str, NDArray[np.uint8]]] = []
    with Detector(artifact, threads=1, score_threshold=SCORE_THRESHOLD) as detector:
        for path, persons, crowds in zip(pictures.files, pictures.boxes, pictures.crowds, strict=True):
            picture = read_image(path)
            boxes = detector(picture).boxes
            wrong = mistakes(persons, crowds, boxes)
            missed, false = int(wrong.missed.sum()), int(wrong.false.sum())
            count = missed + false
            if count and (len(found) < WORST_PICTURES or count > found[-1][0]):
                tile = _tile(picture, persons[wrong.missed], boxes[wrong.false], boxes[~wrong.false])
                said = f"{missed} missed, {false} false"
                found.append((count, f"{said}  {path.name[len(said) - _CAPTION :]}", tile))
                found = sorted(found, key=lambda f: -f[0])[:WORST_PICTURES]
    if found:
        write_image(file, contact_sheet([tile for *_, tile in found], [text for _, text, _ in found]))
    return len(found)


def _inside(box: Floats, crowds: Floats) -> Floats:
    """(k,) parts of a box that lie in each region."""
    parts: Floats = intersections(box[None], crowds)[0] / max(float(box_areas(box[None])[0]), 1e-6)
    return parts


def _tile(picture: NDArray[np.uint8], missed: Floats, false: Floats, right: Floats) -> NDArray[np.uint8]:
    tile, factors = letterbox(picture, (_TILE, _TILE), 30)
    for boxes, color in ((right, _RIGHT), (false, _FALSE), (missed, _MISSED)):
        for x1, y1, x2, y2 in (boxes / factors).round().astype(int).tolist():
            cv2.rectangle(tile, (x1, y1), (x2, y2), color, 1)
    return tile
