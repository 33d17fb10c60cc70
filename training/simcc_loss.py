"""SimCC labels and their loss (paper section 3.1 and 3.4)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

SIGMA_DIVISOR = 4.0
"""sigma = sqrt(bins) / 4: 4.9 and 5.66 for 384 and 512 bins, as in the released models (the paper's text
prints 16)."""
Reduction = Literal["sum", "mean"]


def simcc_sigma(bins: int) -> float:
    """Standard deviation of a label, in bins."""
    return math.sqrt(bins) / SIGMA_DIVISOR


def simcc_labels(positions: Tensor, bins: int, sigma: float) -> Tensor:
    """Gaussians of height 1.

    Args:
        positions: (...) in bins, not rounded.
        bins: number of bins.
        sigma: in bins.

    Returns:
        (...,bins).
    """
    grid = torch.arange(bins, dtype=torch.float32, device=positions.device)
    return torch.exp(-((grid - positions[..., None]) ** 2) / (2 * sigma**2))


def soft_cross(outputs: Tensor, targets: Tensor, weights: Tensor, reduction: Reduction) -> Tensor:
    """KL divergence of log-probabilities `outputs` from probabilities `targets`, per weighted keypoint.

    Args:
        outputs, targets: (N,K,bins).
        weights: (N,K).
        reduction: over bins: "sum" is the divergence itself; "mean", the published loss, is 1/bins of
            it, whose gradients are so small that Adam's epsilon matters in short runs.
    """
    divergence = torch.nn.functional.kl_div(outputs, targets, reduction="none")
    per_keypoint = divergence.sum(-1) if reduction == "sum" else divergence.mean(-1)
    return (per_keypoint * weights).sum() / weights.sum().clamp(min=1)


def simcc_loss(
    outputs: tuple[Tensor, Tensor],
    keypoints: Tensor,
    weights: Tensor,
    split_ratio: float,
    beta: float,
    reduction: Reduction = "sum",
) -> Tensor:
    """KL divergence of softmax(beta * output) from the soft label softmax(beta * Gaussian), both axes.

    The label is SORD's with temperature 1/beta (paper, eq. 5; RTMPose 10).

    Args:
        outputs: SimCC x (N,K,bins_x) and y (N,K,bins_y).
        keypoints: (N,K,2) px of the input.
        weights: (N,K); 0 leaves a keypoint out.
        split_ratio: bins per px.
        beta: 1/tau.
        reduction: see `soft_cross`.
    """
    total = torch.zeros((), device=weights.device)
    for axis, output in enumerate(outputs):
        bins = output.shape[-1]
        labels = simcc_labels(keypoints[..., axis] * split_ratio, bins, simcc_sigma(bins))
        targets = torch.softmax(labels * beta, dim=-1)
        total = total + soft_cross(
            torch.log_softmax(output.float() * beta, dim=-1), targets, weights, reduction
        )
    return total


def distillation_loss(
    outputs: tuple[Tensor, Tensor],
    targets: tuple[Tensor, Tensor],
    weights: Tensor,
    beta: float,
    reduction: Reduction = "sum",
) -> Tensor:
    """KL divergence of softmax(beta * output) from a teacher's probabilities, both axes.

    Shapes as `simcc_loss`; `targets` are probabilities (N,K,bins).
    """
    total = torch.zeros((), device=weights.device)
    for output, target in zip(outputs, targets, strict=True):
        found = torch.log_softmax(output.float() * beta, dim=-1)
        total = total + soft_cross(found, target, weights, reduction)
    return total
