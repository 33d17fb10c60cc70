"""How much do boxes share, and which of them stay? Boxes are xyxy px."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def box_areas(boxes: Floats) -> Floats:
    """(N,) px² of boxes (N,4); 0 where a side is none."""
    result: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return result


def intersections(a: Floats, b: Floats) -> Floats:
    """(N,M) px² that boxes a (N,4) and b (M,4) have in common."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    result: Floats = np.maximum(high - low, 0).prod(axis=2)
    return result


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes a (N,4) and b (M,4): (N,M). Empty boxes have 0."""
    inner = intersections(a, b)
    union = box_areas(a)[:, None] + box_areas(b)[None] - inner
    overlap = np.zeros_like(inner)
    np.divide(inner, union, out=overlap, where=union > 0)
    return overlap


def overlap_of_smaller(a: Floats, b: Floats) -> Floats:
    """Intersection over the smaller area of boxes a (N,4) and b (M,4): (N,M)."""
    share = intersections(a, b)
    share /= np.maximum(np.minimum(box_areas(a)[:, None], box_areas(b)[None]), 1e-6)
    return share


def clip_boxes(boxes: Floats, image_size: tuple[int, int]) -> Floats:
    """Boxes (...,4), cut off at the edges of a picture of `image_size` (width, height)."""
    result: Floats = np.clip(boxes, 0, np.array([*image_size, *image_size], np.float32))
    return result


def suppress(boxes: Floats, scores: Floats, iou_threshold: float) -> NDArray[np.intp]:
    """Indices of the boxes (M,4) that greedy non-maximum suppression keeps, best first."""
    if len(boxes) == 0:
        return np.empty(0, np.intp)
    xywh = boxes.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    kept = cv2.dnn.NMSBoxes(xywh, scores, 0.0, iou_threshold)  # type: ignore[arg-type]
    return np.asarray(kept, np.intp).reshape(-1)
