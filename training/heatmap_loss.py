"""Heatmap labels and their loss: pre-training of the backbone (paper section 3.4, UDP)."""

from __future__ import annotations

import torch
from torch import Tensor

from rtmpose_sdk.models.heatmap_head import LABEL_SIGMA_CELLS


def heatmap_targets(keypoints: Tensor, map_size: tuple[int, int], input_size: tuple[int, int]) -> Tensor:
    """Probabilities (N,K,h,w) that sum to 1 over a map, around unbiased positions (UDP).

    UDP measures in distances between the outermost pixel centers, so that input px x is cell
    x * (w - 1) / (W - 1).

    Args:
        keypoints: (N,K,2) px of the input.
        map_size, input_size: (width, height).
    """
    axes = []
    for axis in (0, 1):
        cells = keypoints[..., axis] * (map_size[axis] - 1) / (input_size[axis] - 1)
        grid = torch.arange(map_size[axis], dtype=torch.float32, device=keypoints.device)
        axes.append(torch.softmax(-((grid - cells[..., None]) ** 2) / (2 * LABEL_SIGMA_CELLS**2), dim=-1))
    return axes[1][..., :, None] * axes[0][..., None, :]


def heatmap_loss(maps: Tensor, keypoints: Tensor, weights: Tensor, input_size: tuple[int, int]) -> Tensor:
    """KL divergence of the softmax over a whole map, per weighted keypoint.

    From random weights it learns at once, where a mean squared error first learns that maps are empty.

    Args:
        maps: (N,K,h,w) logits.
        keypoints: (N,K,2) px of the input.
        weights: (N,K).
        input_size: (width, height) px.
    """
    height, width = maps.shape[-2:]
    targets = heatmap_targets(keypoints, (width, height), input_size).flatten(2)
    outputs = torch.log_softmax(maps.float().flatten(2), dim=-1)
    divergence = torch.nn.functional.kl_div(outputs, targets, reduction="none").sum(-1)
    return (divergence * weights).sum() / weights.sum().clamp(min=1)
