"""Persons cut out once and kept as uint8, so that no picture is decoded while the network waits.

A canvas is a person's crop at the network's resolution, larger than the network's input by `MARGIN`,
so that shifted, shrunk and turned crops still find their surroundings in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.training.persons import Floats, Persons

MARGIN = 1.5
"""Side of a canvas over the side of the network's input."""


@dataclass(frozen=True)
class Canvases:
    """P canvases and what is known about them.

    Attributes:
        images: (P,h,w,3) uint8 BGR; a memory-mapped file where there are many.
        keypoints: (P,K,2) px of the canvas.
        weights: (P,K), see `Persons`.
        input_size: (width, height) px of the network's input.
        ids: annotation ids.
    """

    images: NDArray[np.uint8]
    keypoints: Floats
    weights: Floats
    input_size: tuple[int, int]
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)


def canvas_size(input_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) px of a canvas."""
    return round(input_size[0] * MARGIN), round(input_size[1] * MARGIN)


def cut_canvases(
    persons: Persons,
    input_size: tuple[int, int],
    padding: float,
    file: Path | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Canvases:
    """Cut every person out of their picture.

    Args:
        persons: whom.
        input_size: (width, height) px of the network's input.
        padding: factor on the box's sides (the card's; MMPose 1.25).
        file: where the canvases are kept, memory-mapped; None keeps them in memory.
        track: shows progress over person numbers.

    Raises:
        ImageError: a picture that is missing or broken.
    """
    width, height = canvas_size(input_size)
    shape = (len(persons), height, width, 3)
    images: NDArray[np.uint8] = (
        np.empty(shape, np.uint8) if file is None else np.memmap(file, np.uint8, "w+", shape=shape)
    )
    keypoints = np.empty_like(persons.keypoints)
    last: Path | None = None
    for i in track(range(len(persons))):
        if persons.files[i] != last:
            last, picture = persons.files[i], read_image(persons.files[i])
        crops = crop_boxes(picture, persons.boxes[i : i + 1], (width, height), padding * MARGIN)
        images[i] = crops.images[0]
        keypoints[i] = (persons.keypoints[i] - crops.origins[0]) / crops.scales[0]
    return Canvases(images, keypoints, persons.weights, input_size, persons.ids)


def warp_canvases(images: NDArray[np.uint8], index: NDArray[np.intp], matrices: Floats,
                  input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Network inputs (N,h,w,3) uint8 of some canvases, by OpenCV.

    Args:
        images: (P,H,W,3) canvases.
        index: (N,) which of them.
        matrices: (N,2,3), canvas px → input px.
        input_size: (width, height) px.
    """
    out = np.empty((len(index), input_size[1], input_size[0], 3), np.uint8)
    for i, (which, matrix) in enumerate(zip(index, matrices, strict=True)):
        cv2.warpAffine(images[which], matrix, input_size, out[i], cv2.INTER_LINEAR)
    return out
