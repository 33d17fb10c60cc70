"""Where does a stronger model think that a keypoint is, on the very crop that the student sees?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.predictor import Predictor

IMITATED = ("simcc", "heatmap")
SHARPNESS = 5.0
"""Power that maps are raised to: their Gaussians of 2 cells, 8 px, become 3.6 px, and a peak's neighbours
keep their say."""
LEAST_PEAK = 0.1
"""Of a map; below it the teacher sees no keypoint, and nothing is imitated."""


class Beliefs(NamedTuple):
    """Probabilities of N crops' K keypoints, `x` (N,K,bins_x) and `y` (N,K,bins_y), and weights (N,K)."""

    x: Tensor
    y: Tensor
    weights: Tensor


class ImitatedTeacher:
    """A SimCC or heatmap model whose distributions a student imitates.

    Args:
        teacher: a pose model, see `Predictor`.
        keypoint_set, input_size: the student's; the teacher's must be the same.
        split_ratio: SimCC bins per px of the student.
        threads: of the engine.

    Raises:
        InputError: other keypoints, another input size, or another decoder.
    """

    def __init__(
        self,
        teacher: str | Path,
        keypoint_set: KeypointSet,
        input_size: tuple[int, int],
        split_ratio: float,
        threads: int | None = None,
    ) -> None:
        self._predictor = Predictor(teacher, threads=threads)
        self._split_ratio = split_ratio
        card = self._predictor.card
        if not (
            _fits(card, input_size, split_ratio)
            and self._predictor.keypoint_set.names == keypoint_set.names
        ):
            self._predictor.close()
            raise InputError(
                f"{teacher}: gives {card.decoder} of {card.keypoint_set} at {card.input_size}; to be "
                f"imitated it must give heatmaps, or simcc of {split_ratio:g} bins per px, of "
                f"{keypoint_set.name} at {input_size}"
            )

    def __call__(self, images: NDArray[np.uint8]) -> Beliefs:
        """What it believes of crops (N,h,w,3) uint8 BGR."""
        outputs = self._predictor.crop_outputs(images)
        card = self._predictor.card
        if card.decoder == "simcc":
            x, y = (torch.from_numpy(outputs[name]).float() for name in ("simcc_x", "simcc_y"))
            x, y = (torch.softmax(axis * card.simcc_beta, dim=-1) for axis in (x, y))
            return Beliefs(x, y, torch.ones(x.shape[:2]))
        (maps,) = outputs.values()
        return beliefs_of_maps(
            torch.from_numpy(maps).float(), card.input_size, self._split_ratio, card.heatmap_udp
        )


def beliefs_of_maps(
    maps: Tensor, input_size: tuple[int, int], split_ratio: float, udp: bool = False
) -> Beliefs:
    """Sharpened maps, summed over rows and columns, linear between cells; a higher peak weighs more.

    Args:
        maps: (N,K,h,w), 0 where there is nothing, 1 at a sure keypoint.
        input_size: (width, height) px.
        split_ratio: bins per px.
        udp: how cells and px belong together, see `ModelCard.heatmap_udp`.
    """
    peaks = maps.amax(dim=(2, 3))
    sharp = (maps.clamp(min=0) / peaks.clamp(min=1e-6)[..., None, None]) ** SHARPNESS
    sums = sharp.sum(dim=2), sharp.sum(dim=3)
    axes = []
    for cells, pixels in zip(sums, input_size, strict=True):
        axis = cells @ _between(cells.shape[-1], pixels, split_ratio, udp).to(maps.device)
        axes.append(axis / axis.sum(dim=-1, keepdim=True).clamp(min=1e-12))
    weights = torch.where(peaks >= LEAST_PEAK, peaks.clamp(max=1), torch.zeros_like(peaks))
    return Beliefs(axes[0], axes[1], weights)


def imitable(teacher: str | Path, input_size: tuple[int, int], split_ratio: float) -> bool:
    """True where a teacher can be imitated at this input size, False where only its labels can be had."""
    with Predictor(teacher) as predictor:
        return _fits(predictor.card, input_size, split_ratio)


def _fits(card: ModelCard, input_size: tuple[int, int], split_ratio: float) -> bool:
    """The same pixels, and SimCC of the same bins; heatmaps become whatever bins are wanted."""
    bins_fit = card.decoder != "simcc" or card.simcc_split_ratio == split_ratio
    return card.decoder in IMITATED and card.input_size == input_size and bins_fit


def _between(cells: int, pixels: int, split_ratio: float, udp: bool) -> Tensor:
    """(cells,bins): how much of each cell a bin takes, by linear interpolation."""
    factor = (cells - 1) / (pixels - 1) if udp else cells / pixels
    places = (torch.arange(round(pixels * split_ratio)) / split_ratio * factor).clamp(max=cells - 1)
    return (1 - (torch.arange(cells)[:, None] - places).abs()).clamp(min=0)
