"""How does MMDeploy's SDK cut a box out? In whole px, then resized: not quite as MMPose trains and tests.

Its folders are run so by default in the SDK, and here: the same folder gives the same keypoints.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from rtmpose_sdk.geometry import Crops, Floats, Image


def crop_boxes_mmdeploy(image: Image, boxes: Floats, input_size: tuple[int, int], padding: float) -> Crops:
    """Padded boxes, aspect kept, rounded to whole px, cut at the picture's edge, resized; black outside.

    A box's last px counts: its width is x2 - x1 + 1.

    Args:
        image: (H,W,3) uint8.
        boxes: (N,4) xyxy px, valid.
        input_size: (width, height) of a crop in px.
        padding: factor on the box's sides.
    """
    images = np.zeros((len(boxes), input_size[1], input_size[0], 3), np.uint8)
    scales, origins = np.ones((len(boxes), 2), np.float32), np.zeros((len(boxes), 2), np.float32)
    sides = (image.shape[1], image.shape[0])
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        size = (x2 - x1 + 1, y2 - y1 + 1)
        scale = padding * max(size[0] / input_size[0], size[1] / input_size[1])
        spans = [
            _span(low + length / 2, scale, target, side)
            for low, length, target, side in zip((x1, y1), size, input_size, sides, strict=True)
        ]
        if any(span is None for span in spans):
            continue  # nothing of it is in the picture
        (left, width, to_x, new_width), (top, height, to_y, new_height) = (s for s in spans if s)
        part = image[top : top + height, left : left + width]
        images[i, to_y : to_y + new_height, to_x : to_x + new_width] = cv2.resize(
            part, (new_width, new_height), interpolation=cv2.INTER_LINEAR
        )
        for axis, (low, length, to, new) in enumerate(
            ((left, width, to_x, new_width), (top, height, to_y, new_height))
        ):
            # The middles of both lie on each other; a middle is that of the first and the last px.
            scales[i, axis] = length / new
            origins[i, axis] = low + (length - 1) / 2 - (to + (new - 1) / 2) * length / new
    return Crops(images, scales, origins)


def _span(middle: float, scale: float, target: int, side: int) -> tuple[int, int, int, int] | None:
    """One axis: first px and length in the picture, first px and length in the crop."""
    long = scale * target
    first, length = _round(middle - long / 2), _round(long)
    low, high = max(first, 0), min(first + length, side)
    if high <= low:
        return None
    to = _round((low - first) / scale)
    new = min(_round((high - low) / scale), target - to)
    return (low, high - low, to, new) if new > 0 else None


def _round(value: float) -> int:
    """Halves go away from 0, as in C."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
