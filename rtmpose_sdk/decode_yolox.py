"""Where are the boxes in the raw head of a YOLOX?"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CardError

Floats = NDArray[np.float32]

_LARGEST_EXPONENT = 20.0
"""e^20 strides are wider than any picture; a broken network must not overflow."""


def decode_yolox(outputs: dict[str, NDArray[np.generic]], card: ModelCard) -> tuple[Floats, Floats]:
    """Boxes of the first class (person) in every cell, before suppression (YOLOX, section 2.1).

    Args:
        outputs: `yolox` (1,A,5+C), per cell: centre and log of width and height in strides, then objectness
            and C class probabilities, sigmoids done; the three levels one after another.
        card: input size and strides.

    Returns:
        Boxes (A,4) xyxy px of the network input and scores (A,): objectness times class probability.

    Raises:
        CardError: A does not fit the card's input size and strides.
    """
    centres, strides = _cells(card.input_size, card.strides)
    rows = np.asarray(outputs["yolox"][0], np.float32)
    if len(rows) != len(strides):
        turned = rows.shape[1] == len(strides)
        raise CardError(
            f"card of '{card.name}': the head gives {len(rows)} cells, but input {card.input_size} with "
            f"strides {card.strides} has {len(strides)}"
            + ("; its cells are the last axis, as in Ultralytics' files: it is no YOLOX" if turned else "")
        )
    middle = (rows[:, :2] + centres) * strides
    half = np.exp(np.minimum(rows[:, 2:4], _LARGEST_EXPONENT)) * strides / 2
    return np.concatenate([middle - half, middle + half], axis=1), rows[:, 4] * rows[:, 5]


@functools.lru_cache(maxsize=8)
def _cells(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Column and row (A,2) of each cell, and its stride (A,1)."""
    places, steps = [], []
    for stride in strides:
        y, x = np.mgrid[: size[1] // stride, : size[0] // stride]
        places.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        steps.append(np.full((x.size, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(steps).astype(np.float32)
