"""Which boxes and poses of a frame are worth looking at?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import iou, overlap_of_smaller, suppress
from rtmpose_sdk.tracks import Candidates, Track, better_half

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

BOX_NMS = 0.65
LEAST_OVERLAP = 0.45
"""IoU of a track's box with the detection that stands for it."""
PART_OVERLAP = 0.8


def strong_enough(boxes: Floats, scores: Floats, least: float) -> tuple[Floats, Floats]:
    """Boxes (N,4) and scores (N,) of at least `least` after box NMS."""
    rows = scores >= least
    boxes, scores = boxes[rows], scores[rows]
    kept = suppress(boxes, scores, BOX_NMS)
    return boxes[kept], scores[kept]


def choose_boxes(
    boxes: Floats, scores: Floats, tracks: list[Track], places: Floats, new_score: float
) -> dict[int, int | None]:
    """The box that each track (by `id`) most likely means, weak ones last (ByteTrack); None is no box.

    Args:
        boxes: (N,4) xyxy px, detected.
        scores: (N,).
        tracks: who is looked for.
        places: (T,4) xyxy px, where they should be by now, ending at the picture's edge as detections do.
        new_score: score from which a box is strong.
    """
    chosen: dict[int, int | None] = {id(t): None for t in tracks}
    if not tracks or not len(boxes):
        return chosen
    overlap = iou(places, boxes)
    strong = scores >= new_score
    # A weak box within a strong one is a part of that person.
    part = np.zeros(len(boxes), bool)
    if strong.any():
        part = ~strong & (overlap_of_smaller(boxes, boxes[strong]).max(axis=1) > PART_OVERLAP)
    for row, track in enumerate(tracks):
        for group in (strong, ~strong & ~part):
            fitting = np.flatnonzero(group & (overlap[row] >= LEAST_OVERLAP))
            if len(fitting):
                chosen[id(track)] = int(fitting[np.argmax(overlap[row, fitting])])
                break
    return chosen


def without_nobody(candidates: Candidates, least: float) -> Candidates:
    """Without poses that no detection stands behind and that are not sure: they stand in the way.

    Args:
        candidates: of one frame.
        least: confidence that `better_half` of an undetected pose needs.
    """
    rows = [
        i
        for i in range(len(candidates))
        if candidates.scores[i] > 0 or better_half(candidates.confidences[i]) >= least
    ]
    return candidates.take(rows)


def clip_box(box: Floats, picture: Image) -> Floats:
    """A box (4,) xyxy px inside the picture, of at least 2 px."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    x1, y1 = min(max(x1, 0.0), width - 2.0), min(max(y1, 0.0), height - 2.0)
    x2, y2 = max(min(x2, float(width)), x1 + 2), max(min(y2, float(height)), y1 + 2)
    return np.array([x1, y1, x2, y2], np.float32)
