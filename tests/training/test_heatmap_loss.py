"""Heatmap targets and loss against numpy written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.training.heatmap_loss import heatmap_loss, heatmap_targets


def test_targets_are_probabilities_around_unbiased_cells() -> None:
    """UDP: px 0 and W-1 are the centers of the first and the last cell."""
    keypoints = torch.tensor([[[0.0, 127.0], [47.5, 63.5]]])
    targets = heatmap_targets(keypoints, (12, 16), (96, 128))
    assert targets.shape == (1, 2, 16, 12)
    assert torch.allclose(targets.sum((2, 3)), torch.ones(1, 2))
    assert targets[0, 0].flatten().argmax().item() == 15 * 12
    center = (targets[0, 1].sum(0) * torch.arange(12)).sum()
    assert center.item() == pytest.approx(5.5, abs=1e-4)


def test_loss_by_hand() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 2, 4, 3)).astype(np.float32)
    keypoints = np.array([[[10.0, 20.0], [31.0, 5.0]]], np.float32)
    expected = 0.0
    for k, weight in enumerate((1.0, 0.5)):
        label = np.empty((4, 3))
        for r in range(4):
            for c in range(3):
                dx = c - keypoints[0, k, 0] * 2 / 31
                dy = r - keypoints[0, k, 1] * 3 / 63
                label[r, c] = math.exp(-(dx * dx + dy * dy) / 2)
        p, q = label / label.sum(), np.exp(maps[0, k]) / np.exp(maps[0, k]).sum()
        expected += weight * (p * np.log(p / q)).sum() / 1.5
    found = heatmap_loss(
        torch.from_numpy(maps), torch.from_numpy(keypoints), torch.tensor([[1.0, 0.5]]), (32, 64)
    )
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_decoding_a_target_gives_the_keypoint_back() -> None:
    rng = np.random.default_rng(1)
    keypoints = rng.uniform((20, 20), (76, 108), (8, 5, 2)).astype(np.float32)
    targets = heatmap_targets(torch.from_numpy(keypoints), (24, 32), (96, 128)).numpy()
    decoded = decode_heatmap(targets, (96, 128), udp=True)
    assert np.abs(decoded.keypoints - keypoints).max() < 0.1
    assert ((decoded.confidences >= 0) & (decoded.confidences <= 1)).all()
