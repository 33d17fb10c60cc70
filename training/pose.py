"""Training of a pose network: crops, augmentation, SimCC or heatmap loss, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.training.canvases import Canvases, canvas_size, warp_canvases
from rtmpose_sdk.training.heatmap_loss import heatmap_loss
from rtmpose_sdk.training.order import sample_order
from rtmpose_sdk.training.pose_augment import STRONG, WEAK, PoseAugmentation, PoseSample, sample_crops
from rtmpose_sdk.training.simcc_loss import Reduction, simcc_loss

MEAN_BGR = (103.53, 116.28, 123.675)
STD_BGR = (57.375, 57.12, 58.395)


@dataclass(frozen=True)
class PoseBatch:
    """N crops: numbers of their persons, uint8 pictures (N,h,w,3) BGR, and what belongs to them."""

    index: NDArray[np.intp]
    images: NDArray[np.uint8]
    sample: PoseSample


class PoseTask:
    """A pose network and its data.

    Args:
        network: gives SimCC (N,K,bins) twice, or heatmaps (N,K,h,w).
        canvases: the persons.
        keypoint_set: theirs.
        batch: crops of a step, of all processes together.
        steps, weak_steps: of the run, and of its end with weak augmentation.
        head: what the network gives.
        beta: 1/tau of the SimCC loss.
        reduction: of the SimCC loss over bins.
        split_ratio: SimCC bins per px.
        seed: of everything that is drawn.
        strong, weak: the two stages.
        score: gives a network's figures.
    """

    figure = "AP"

    def __init__(
        self,
        network: nn.Module,
        canvases: Canvases,
        keypoint_set: KeypointSet,
        batch: int,
        steps: int,
        weak_steps: int,
        head: Literal["simcc", "heatmap"] = "simcc",
        beta: float = 10.0,
        reduction: Reduction = "sum",
        split_ratio: float = 2.0,
        seed: int = 0,
        strong: PoseAugmentation = STRONG,
        weak: PoseAugmentation = WEAK,
        score: Callable[[nn.Module], dict[str, float]] = lambda network: {},
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.canvases, self.keypoint_set = canvases, keypoint_set
        self._size, self._steps, self._weak_steps, self._seed = batch, steps, weak_steps, seed
        self._head, self._beta, self._reduction, self._ratio = head, beta, reduction, split_ratio
        self._strong, self._weak = strong, weak
        self.evaluate = score

    def batch(self, step: int, rank: int, ranks: int) -> PoseBatch:
        """Crops of one process at one step."""
        share = sample_order(len(self.canvases), self._size, step, self._seed)[rank::ranks]
        rng = np.random.default_rng((self._seed, step, rank))
        sample = sample_crops(
            rng,
            self.canvases.keypoints[share],
            self.canvases.weights[share],
            canvas_size(self.canvases.input_size),
            self.canvases.input_size,
            self.keypoint_set,
            self._weak if step >= self._steps - self._weak_steps else self._strong,
        )
        images = warp_canvases(self.canvases.images, share, sample.matrices, self.canvases.input_size)
        return PoseBatch(share, images, sample)

    def losses(self, network: nn.Module, batch: PoseBatch, device: torch.device) -> dict[str, Tensor]:
        """The loss of one batch."""
        sample = batch.sample
        inputs = to_network(torch.from_numpy(batch.images).to(device), sample, device)
        keypoints = torch.from_numpy(sample.keypoints).to(device)
        weights = torch.from_numpy(sample.weights).to(device)
        outputs: Any = network(inputs)
        if self._head == "heatmap":
            return {"heatmap": heatmap_loss(outputs, keypoints, weights, self.canvases.input_size)}
        return {
            "simcc": simcc_loss(outputs, keypoints, weights, self._ratio, self._beta, self._reduction)
        }

    def describe(self, batch: PoseBatch) -> str:
        """Annotation ids of a batch."""
        return "annotations " + ", ".join(str(self.canvases.ids[i]) for i in batch.index)


def to_network(images: Tensor, sample: PoseSample, device: torch.device) -> Tensor:
    """Crops (N,h,w,3) uint8 BGR → (N,3,h,w) fp32, normalised RGB, colours changed, holes cut.

    Colour change, normalisation and the swap to RGB are one 3x3 matrix for each crop.
    """
    mean, std = (torch.tensor(v, device=device) for v in (MEAN_BGR, STD_BGR))
    colors = torch.from_numpy(sample.colors).to(device)
    matrix = (colors / std[:, None]).flip(1)
    flat = images.flatten(1, 2).float()
    inputs = torch.baddbmm((-mean / std).flip(0)[None, None], flat, matrix.transpose(1, 2))
    inputs = inputs.view(images.shape)
    for i, (x1, y1, x2, y2) in enumerate(sample.holes.tolist()):
        inputs[i, y1:y2, x1:x2] = 0
    return inputs.permute(0, 3, 1, 2)
