"""How does a uint8 BGR picture become the tensor that a model card asks for?"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CardError


class Normalizer:
    """(N,h,w,3) uint8 BGR → what the artifact takes, by its card.

    Where the graph holds colour order and normalisation, the pictures pass as they are. Otherwise a
    table of 256 values per channel replaces cast, subtraction and division.

    Raises:
        CardError: mean and std are for levels of 0...1.
    """

    def __init__(self, card: ModelCard) -> None:
        self.takes_image = card.takes_image
        if not self.takes_image and max(card.std) < 1:
            mean, std = ([round(255 * v, 3) for v in values] for values in (card.mean, card.std))
            raise CardError(
                f"card of '{card.name}': mean {card.mean} and std {card.std} are for levels of 0...1; "
                f"expected those for 0...255, which would be {tuple(mean)} and {tuple(std)}"
            )
        levels = np.arange(256, dtype=np.float64)
        self._tables: list[NDArray[np.float32]] = [
            ((levels - mean) / std).astype(np.float32)
            for mean, std in zip(card.mean, card.std, strict=True)
        ]
        self._source_channel = (2, 1, 0) if card.color_order == "rgb" else (0, 1, 2)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Pictures (N,h,w,3) uint8 BGR → the same, or (N,3,h,w) float32 in the card's colour order."""
        if self.takes_image:
            return images
        count, height, width = images.shape[:3]
        tensor = np.empty((count, 3, height, width), np.float32)
        for image, planes in zip(images, tensor, strict=True):
            channels = cv2.split(image)
            for plane, table, source in zip(planes, self._tables, self._source_channel, strict=True):
                cv2.LUT(channels[source], table, plane)
        return tensor
