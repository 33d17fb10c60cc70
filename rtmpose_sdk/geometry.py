"""Where is a box in the network's input, and where is a keypoint in the picture?

Boxes are xyxy px, sizes are (width, height), pictures are BGR uint8 (H,W,3).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.results import Detections

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

FARTHEST = 1e6
"""Px from the origin, thirty times OpenCV's largest side; far beyond it float32 ends in NaN."""
_ROUNDING = 1e-3
"""By which a score may be above 1: engines in int8 and fp16 round."""


class Crops(NamedTuple):
    """Crops of a picture and the way back.

    Attributes:
        images: (N,h,w,3) uint8 BGR.
        scales: (N,), or (N,2) where x and y differ, picture px per crop px.
        origins: (N,2) picture px of the crop's (0, 0).
    """

    images: Image
    scales: Floats
    origins: Floats

    def to_picture(self, points: Floats) -> Floats:
        """Points (N,K,2) in crop px → picture px."""
        result: Floats = points * self.scales.reshape(len(self.scales), 1, -1) + self.origins[:, None]
        return result


def check_boxes(boxes: object, image_size: tuple[int, int]) -> Floats:
    """Boxes as (N,4) float32 xyxy px, checked against a picture of `image_size` (width, height).

    Raises:
        InputError: another shape, NaN or infinity, farther than `FARTHEST`, inverted or zero area, wholly
            outside.
    """
    try:
        array = np.array(boxes, dtype=np.float32)  # the caller's own may change later
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: torch, with a gradient
        theirs = " of numbers: theirs is in .xyxy" if hasattr(boxes, "xyxy") else ""
        raise InputError(
            f"boxes are not numbers ({error}); expected an array (N,4), xyxy px{theirs}"
        ) from None
    if array.size == 0:
        return np.empty((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"boxes have shape {array.shape}; expected (N,4), xyxy px")
    if (
        (array[:, :2] < array[:, 2:]).all()
        and (array[:, :2] < image_size).all()
        and (array[:, 2:] > 0).all()
        and np.abs(array).max() <= FARTHEST
    ):
        return array
    width, height = image_size
    checks = (
        (~np.isfinite(array).all(axis=1), "NaN or infinite"),
        (np.abs(array).max(axis=1) > FARTHEST, f"farther than {FARTHEST:.0f} px from the picture's corner"),
        (
            (array[:, 2] <= array[:, 0]) | (array[:, 3] <= array[:, 1]),
            "inverted or of zero area (expected x1 < x2 and y1 < y2; is it xywh?)",
        ),
        (
            (array[:, 2] <= 0) | (array[:, 3] <= 0) | (array[:, 0] >= width) | (array[:, 1] >= height),
            f"wholly outside the picture of {width}x{height} px",
        ),
    )
    bad, what = next((bad, what) for bad, what in checks if bad.any())
    index = int(np.argmax(bad))
    raise InputError(f"box {index} {array[index].tolist()} is {what}")


def check_detections(boxes: Detections | object, image_size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Boxes (N,4) float32 xyxy px and their scores (N,), 1 where none are given, checked.

    Args:
        boxes: Detections, or (N,4) xyxy px.
        image_size: (width, height) px of the picture.

    Raises:
        InputError: of a picture of another size, scores that are not 0...1, or see `check_boxes`.
    """
    if not isinstance(boxes, Detections):
        xyxy = check_boxes(boxes, image_size)
        return xyxy, np.ones(len(xyxy), np.float32)
    if tuple(boxes.image_size) != image_size:
        given, there = ("{}x{}".format(*each) for each in (boxes.image_size, image_size))
        raise InputError(f"boxes were detected in a picture of {given} px, and this one has {there} px")
    xyxy = check_boxes(boxes.boxes, image_size)
    try:
        scores = np.array(boxes.scores, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"scores of boxes are not numbers ({error}); expected 0...1") from None
    good = (scores >= 0) & (scores <= 1 + _ROUNDING)
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(f"scores of boxes are NaN or outside of 0...1 (box {row}: {scores[row]:g})")
    return xyxy, scores


def crop_boxes(image: Image, boxes: Floats, input_size: tuple[int, int], padding: float) -> Crops:
    """Cut boxes out of a picture as MMPose does: padded, aspect kept, bilinear, no UDP, black outside.

    Args:
        image: (H,W,3) uint8.
        boxes: (N,4) xyxy px, valid (`check_boxes`).
        input_size: (width, height) of a crop in px.
        padding: factor on the box's sides (MMPose 1.25).
    """
    width, height = input_size
    count = len(boxes)
    images = np.empty((count, height, width, 3), np.uint8)
    scales, origins = np.empty(count, np.float32), np.empty((count, 2), np.float32)
    # Plain numbers: for one person, a dozen small numpy calls cost as much as the warp itself.
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        scale = padding * max((x2 - x1) / width, (y2 - y1) / height)
        x, y = (x1 + x2 - scale * width) / 2, (y1 + y2 - scale * height) / 2
        matrix = np.array([[1 / scale, 0, -x / scale], [0, 1 / scale, -y / scale]])
        cv2.warpAffine(
            image, matrix, input_size, images[i], cv2.INTER_LINEAR, cv2.BORDER_CONSTANT, (0, 0, 0)
        )
        scales[i], origins[i] = scale, (x, y)
    return Crops(images, scales, origins)


def letterbox(
    image: Image, input_size: tuple[int, int], pad_value: int, step: int | None = None
) -> tuple[Image, Floats]:
    """Fit a picture into `input_size` (width, height), aspect kept, at the top left (MMDetection).

    Args:
        image: (H,W,3) uint8.
        input_size: (width, height) px of the network's input.
        pad_value: grey level of what the picture leaves empty.
        step: None fills up to `input_size`; else only to the next multiples of so many px.

    Returns:
        The input (h,w,3) uint8 and (4,) factors: box px in the input * factors = box px in the picture.
    """
    height, width = image.shape[:2]
    ratio = min(input_size[0] / width, input_size[1] / height)
    new_width = min(max(int(width * ratio + 0.5), 1), input_size[0])
    new_height = min(max(int(height * ratio + 0.5), 1), input_size[1])
    sides = input_size
    if step is not None:
        sides = (min(-(-new_width // step) * step, sides[0]), min(-(-new_height // step) * step, sides[1]))
    canvas = np.empty((sides[1], sides[0], 3), np.uint8)
    canvas[new_height:] = pad_value
    canvas[:new_height, new_width:] = pad_value
    used = canvas[:new_height, :new_width]
    if (new_width, new_height) == (width, height):
        used[:] = image
    else:
        cv2.resize(image, (new_width, new_height), used, interpolation=cv2.INTER_LINEAR)
    x, y = width / new_width, height / new_height
    return canvas, np.array([x, y, x, y], np.float32)


def flip_horizontally(images: Image) -> Image:
    """Pictures (N,h,w,3), mirrored left to right, contiguous."""
    return np.ascontiguousarray(images[:, :, ::-1])
