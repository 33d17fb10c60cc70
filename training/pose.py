"""Training of a pose network: crops, augmentation, SimCC or heatmap loss, distillation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.training.canvases import Canvases, canvas_size, warp_canvases, warp_on_device
from rtmpose_sdk.training.heatmap_loss import heatmap_loss
from rtmpose_sdk.training.imitation import ImitatedTeacher
from rtmpose_sdk.training.normalization import MEAN_BGR, STD_BGR
from rtmpose_sdk.training.order import sample_order
from rtmpose_sdk.training.pose_augment import STRONG, WEAK, PoseAugmentation, PoseSample, sample_crops
from rtmpose_sdk.training.simcc_loss import Reduction, distillation_loss, simcc_loss


@dataclass(frozen=True)
class PoseLoss:
    """What is minimised.

    Attributes:
        head: what the network gives.
        beta: 1/tau of SimCC's softmax.
        split_ratio: SimCC bins per px.
        reduction: over SimCC's bins, see `soft_cross`.
        heatmap_weight: of the heatmap loss, where the network is `WithHeatmaps`; 0 where it is not.
        teacher: who is imitated as well, with the same weight; None is nobody.
    """

    head: Literal["simcc", "heatmap"] = "simcc"
    beta: float = 10.0
    split_ratio: float = 2.0
    reduction: Reduction = "sum"
    heatmap_weight: float = 0.0
    teacher: ImitatedTeacher | None = None


@dataclass(frozen=True)
class PoseBatch:
    """N crops: numbers of their persons, pictures (N,h,w,3) uint8 BGR, and what belongs to them.

    `images` is None where canvases lie on the device and are warped there.
    """

    index: NDArray[np.intp]
    images: NDArray[np.uint8] | None
    sample: PoseSample


class PoseTask:
    """A pose network and its data.

    Args:
        network: gives SimCC (N,K,bins) twice, or heatmaps (N,K,h,w).
        canvases: the persons.
        keypoint_set: theirs.
        batch: crops of a step, of all processes together.
        steps, weak_steps: of the run, and of its end with weak augmentation.
        loss: what is minimised.
        seed: of everything that is drawn.
        strong, weak: the two stages.
        on_device: canvases are copied there once, and warped there; None warps on the CPU.
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
        loss: PoseLoss = PoseLoss(),
        seed: int = 0,
        strong: PoseAugmentation = STRONG,
        weak: PoseAugmentation = WEAK,
        on_device: torch.device | None = None,
        score: Callable[[nn.Module], dict[str, float]] = lambda network: {},
    ) -> None:
        self.network = network
        self.canvases, self.keypoint_set = canvases, keypoint_set
        self._size, self._steps, self._weak_steps, self._seed = batch, steps, weak_steps, seed
        self._loss, self._strong, self._weak = loss, strong, weak
        self._on_device = None if on_device is None else torch.from_numpy(canvases.images).to(on_device)
        self.evaluate = score

    def batch(self, step: int, rank: int, ranks: int) -> PoseBatch:
        """Crops of one process at one step."""
        canvases = self.canvases
        share = sample_order(len(canvases), self._size, step, self._seed)[rank::ranks]
        sample = sample_crops(
            np.random.default_rng((self._seed, step, rank)),
            canvases.keypoints[share],
            canvases.weights[share],
            canvas_size(canvases.input_size),
            canvases.input_size,
            self.keypoint_set,
            self._weak if step >= self._steps - self._weak_steps else self._strong,
        )
        if self._on_device is not None:
            return PoseBatch(share, None, sample)
        return PoseBatch(
            share, warp_canvases(canvases.images, share, sample.matrices, canvases.input_size), sample
        )

    def losses(self, network: nn.Module, batch: PoseBatch, device: torch.device) -> dict[str, Tensor]:
        """The loss of one batch."""
        sample, how = batch.sample, self._loss
        images = self._images(batch, device)
        keypoints = torch.from_numpy(sample.keypoints).to(device)
        weights = torch.from_numpy(sample.weights).to(device)
        outputs: Any = network(network_input(images, sample))
        if how.head == "heatmap":
            return {"heatmap": heatmap_loss(outputs, keypoints, weights, self.canvases.input_size)}
        losses: dict[str, Tensor] = {}
        if how.heatmap_weight:
            outputs, maps = outputs
            found = heatmap_loss(maps, keypoints, weights, self.canvases.input_size)
            losses["heatmap"] = found * how.heatmap_weight
        losses["simcc"] = simcc_loss(outputs, keypoints, weights, how.split_ratio, how.beta, how.reduction)
        if how.teacher is not None:
            x, y, sure = (part.to(device) for part in how.teacher(images.round().byte().cpu().numpy()))
            losses["teacher"] = distillation_loss(outputs, (x, y), sure, how.beta, how.reduction)
        return losses

    def _images(self, batch: PoseBatch, device: torch.device) -> Tensor:
        """(N,h,w,3), uint8 or fp32 in 0...255."""
        if self._on_device is None:
            assert batch.images is not None
            return torch.from_numpy(batch.images).to(device)
        matrices = torch.from_numpy(batch.sample.matrices).to(device)
        chosen = self._on_device[torch.from_numpy(batch.index).to(device)]
        return warp_on_device(chosen, matrices, self.canvases.input_size)

    def describe(self, batch: PoseBatch) -> str:
        """Annotation ids of a batch."""
        return "annotations " + ", ".join(str(self.canvases.ids[i]) for i in batch.index)


def network_input(images: Tensor, sample: PoseSample) -> Tensor:
    """Crops (N,h,w,3) BGR in 0...255 → (N,3,h,w) fp32, normalised RGB, colours changed, holes cut.

    Colour change, normalisation and the swap to RGB are one 3x3 matrix for each crop. Memory stays in
    the order of the crops (channels last), which is what convolutions like best.
    """
    device = images.device
    mean, std = (torch.tensor(v, device=device) for v in (MEAN_BGR, STD_BGR))
    colors = torch.from_numpy(sample.colors).to(device)
    matrix = (colors / std[:, None]).flip(1)
    flat = images.flatten(1, 2).float()
    inputs = torch.baddbmm((-mean / std).flip(0)[None, None], flat, matrix.transpose(1, 2))
    inputs = inputs.view(images.shape)
    holes = torch.from_numpy(sample.holes).to(device)
    rows, columns = (_inside(holes[:, i], holes[:, i + 2], images.shape[2 - i]) for i in (1, 0))
    inputs.masked_fill_((rows[:, :, None] & columns[:, None])[..., None], 0)
    return inputs.permute(0, 3, 1, 2)


def _inside(low: Tensor, high: Tensor, size: int) -> Tensor:
    """(N,size): places in low (N,) ... high (N,)."""
    places = torch.arange(size, device=low.device)
    return (places >= low[:, None]) & (places < high[:, None])
