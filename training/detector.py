"""Training of a detector: inputs, assignment, loss, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtmpose_sdk.models.rtmdet_head import STRIDES
from rtmpose_sdk.training.assigner import assign
from rtmpose_sdk.training.detector_augment import (
    STRONG,
    WEAK,
    DetectorAugmentation,
    Labelled,
    vary,
)
from rtmpose_sdk.training.detector_loss import BOX_WEIGHT, giou_loss, quality_focal_loss
from rtmpose_sdk.training.normalization import MEAN_BGR, STD_BGR
from rtmpose_sdk.training.order import sample_at, sample_order
from rtmpose_sdk.training.persons import Floats
from rtmpose_sdk.training.pictures import PictureCache, Pictures

RECENT = 40
"""Partners of mosaic and mix-up are among as many pictures that were used before (cached mosaic)."""
_LONGEST = 1.5
"""Longest side of a kept picture over the input's."""


@dataclass(frozen=True)
class DetectorBatch:
    """N inputs (N,h,w,3) uint8 BGR, and per input the persons (n,4) and ignored regions, xyxy px."""

    index: NDArray[np.intp]
    images: NDArray[np.uint8]
    boxes: list[Floats]
    ignored: list[Floats]


class DetectorTask:
    """A detector and its data.

    Args:
        network: an RTMDet.
        pictures: what it learns from.
        input_size: (width, height) px.
        batch: inputs of a step, of all processes together.
        steps, weak_steps: of the run, and of its end without mosaic and mix-up.
        seed: of everything that is drawn.
        strong, weak: the two stages.
        score: gives a network's figures.
    """

    figure = "AP50"

    def __init__(
        self,
        network: nn.Module,
        pictures: Pictures,
        input_size: tuple[int, int],
        batch: int,
        steps: int,
        weak_steps: int,
        seed: int = 0,
        strong: DetectorAugmentation = STRONG,
        weak: DetectorAugmentation = WEAK,
        score: Callable[[nn.Module], dict[str, float]] = lambda network: {},
    ) -> None:
        self.network = network
        self.pictures, self.input_size = pictures, input_size
        self._cache = PictureCache(pictures.files, round(max(input_size) * _LONGEST))
        self._size, self._steps, self._weak_steps, self._seed = batch, steps, weak_steps, seed
        self._strong, self._weak = strong, weak
        self._points, self._strides = grid_points(input_size)
        self.evaluate = score

    def batch(self, step: int, rank: int, ranks: int) -> DetectorBatch:
        """Inputs of one process at one step."""
        count = len(self.pictures)
        share = sample_order(count, self._size, step, self._seed)[rank::ranks]
        rng = np.random.default_rng((self._seed, step, rank))
        how = self._weak if step >= self._steps - self._weak_steps else self._strong
        position = step * self._size

        def partner() -> int:
            behind = abs(position - int(rng.integers(1, RECENT + 1)))
            return int(sample_at(count, np.array([behind]), self._seed)[0])

        made = [vary(rng, int(i), partner, self._load, self.input_size, how) for i in share]
        return DetectorBatch(
            share,
            np.stack([m.image for m in made]),
            [m.boxes for m in made],
            [m.ignored for m in made],
        )

    def _load(self, index: int) -> Labelled:
        image, factor = self._cache(index)
        ratio = np.float32(factor)
        return Labelled(image, self.pictures.boxes[index] * ratio, self.pictures.crowds[index] * ratio)

    def losses(self, network: nn.Module, batch: DetectorBatch, device: torch.device) -> dict[str, Tensor]:
        """Quality focal loss and GIoU loss of one batch."""
        mean, std = (torch.tensor(v, device=device) for v in (MEAN_BGR, STD_BGR))
        inputs = ((torch.from_numpy(batch.images).to(device).float() - mean) / std).permute(0, 3, 1, 2)
        levels: tuple[Tensor, ...] = network(inputs)
        persons, real = (torch.from_numpy(v).to(device) for v in padded(batch.boxes))
        ignored = torch.from_numpy(padded(batch.ignored)[0]).to(device)
        points, strides = self._points.to(device), self._strides.to(device)
        return detector_losses(levels, points, strides, persons, real, ignored)

    def describe(self, batch: DetectorBatch) -> str:
        """Files of a batch."""
        return "pictures " + ", ".join(self.pictures.files[i].name for i in batch.index)


def grid_points(input_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Points (A,2) px and strides (A,) of all levels, in the order of the head's outputs."""
    points, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(
            torch.arange(input_size[1] // stride) * stride,
            torch.arange(input_size[0] // stride) * stride,
            indexing="ij",
        )
        points.append(torch.stack([x, y], -1).reshape(-1, 2))
        strides.append(torch.full((len(points[-1]),), stride))
    return torch.cat(points).float(), torch.cat(strides).float()


def padded(rows: Sequence[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    """Boxes of N pictures (n,4) as one array (N,G,4), the rest zeros, and (N,G) True where there is one."""
    most = max([1, *map(len, rows)])
    full, real = np.zeros((len(rows), most, 4), np.float32), np.zeros((len(rows), most), np.bool_)
    for i, boxes in enumerate(rows):
        full[i, : len(boxes)], real[i, : len(boxes)] = boxes, True
    return full, real


def detector_losses(
    levels: tuple[Tensor, ...],
    points: Tensor,
    strides: Tensor,
    persons: Tensor,
    real: Tensor,
    ignored: Tensor,
) -> dict[str, Tensor]:
    """Both losses, normalised by the sum of the overlaps of all assigned points.

    Args:
        levels: the head's outputs, three logits (N,1,h,w) and three distances (N,4,h,w) in px.
        points, strides: see `grid_points`.
        persons: (N,G,4) xyxy px, see `padded`.
        real: (N,G) True where there is such a person.
        ignored: (N,R,4) xyxy px: points inside give no classification loss, unless they answer for a
            person.
    """
    half = len(levels) // 2
    logits = torch.cat([level.flatten(1) for level in levels[:half]], 1).float()
    distances = torch.cat([level.flatten(2) for level in levels[half:]], 2).transpose(1, 2).float()
    boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)
    person, quality = assign(points, strides, logits.detach(), boxes.detach(), persons, real)
    positive = person >= 0
    regions = ignored[:, None]
    inside = (points[:, None] > regions[..., :2]) & (points[:, None] < regions[..., 2:])
    counted = ~inside.all(-1).any(2) | positive
    wanted = persons.gather(1, person.clamp(min=0)[..., None].expand(-1, -1, 4))
    total = quality.sum().clamp(min=1)
    # Of all points: picking those that answer for somebody would wait for the device.
    apart = giou_loss(boxes.flatten(0, 1), wanted.flatten(0, 1)).view_as(quality)
    return {
        "quality": (quality_focal_loss(logits, quality) * counted).sum() / total,
        "box": BOX_WEIGHT * torch.where(positive, apart * quality, 0).sum() / total,
    }
