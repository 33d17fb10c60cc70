"""SimCC labels and loss against numpy written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpose_sdk.training.simcc_loss import (
    distillation_loss,
    simcc_labels,
    simcc_loss,
    simcc_sigma,
)


@pytest.mark.parametrize(("bins", "sigma"), [(384, 4.899), (512, 5.657)])
def test_sigma_is_the_released_models(bins: int, sigma: float) -> None:
    assert simcc_sigma(bins) == pytest.approx(sigma, abs=1e-3)


def test_labels_are_gaussians_of_height_one() -> None:
    labels = simcc_labels(torch.tensor([[10.0, 3.25]]), bins=16, sigma=2.0)[0]
    assert labels[0, 10] == 1
    assert labels[0, 12].item() == pytest.approx(math.exp(-0.5))
    assert labels[1].tolist() == pytest.approx([math.exp(-((i - 3.25) ** 2) / 8) for i in range(16)])


def _reference(
    outputs: tuple[np.ndarray, np.ndarray], keypoints: np.ndarray, weights: np.ndarray, beta: float
) -> tuple[float, float]:
    """The loss in plain loops: sum and mean over bins."""
    total = {"sum": 0.0, "mean": 0.0}
    for axis, output in enumerate(outputs):
        bins = output.shape[-1]
        sigma = math.sqrt(bins) / 4
        for n in range(output.shape[0]):
            for k in range(output.shape[1]):
                place = keypoints[n, k, axis] * 2
                label = np.exp(-((np.arange(bins) - place) ** 2) / (2 * sigma**2)) * beta
                p = np.exp(label) / np.exp(label).sum()
                q = np.exp(output[n, k] * beta) / np.exp(output[n, k] * beta).sum()
                divergence = p * (np.log(p) - np.log(q))
                total["sum"] += weights[n, k] * divergence.sum()
                total["mean"] += weights[n, k] * divergence.mean()
    return total["sum"] / weights.sum(), total["mean"] / weights.sum()


@pytest.mark.parametrize("beta", [1.0, 5.0, 10.0])
def test_loss_is_the_divergence_of_tempered_softmaxes(beta: float) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 3, 12)).astype(np.float32), rng.normal(size=(2, 3, 16)).astype(np.float32)
    keypoints = rng.uniform(0, 6, (2, 3, 2)).astype(np.float32)
    weights = np.array([[1, 0, 0.5], [1, 1, 0]], np.float32)
    summed, mean = _reference((x, y), keypoints, weights, beta)
    tensors = (torch.from_numpy(x), torch.from_numpy(y))
    points, importance = torch.from_numpy(keypoints), torch.from_numpy(weights)
    assert simcc_loss(tensors, points, importance, 2.0, beta).item() == pytest.approx(summed, rel=1e-4)
    found = simcc_loss(tensors, points, importance, 2.0, beta, "mean").item()
    assert found == pytest.approx(mean, rel=1e-4)


def test_the_label_itself_has_no_loss_and_unlabelled_keypoints_no_gradient() -> None:
    keypoints = torch.tensor([[[3.0, 4.0], [1.0, 1.0]]])
    x = simcc_labels(keypoints[..., 0] * 2, 16, simcc_sigma(16)).requires_grad_()
    y = simcc_labels(keypoints[..., 1] * 2, 20, simcc_sigma(20))
    loss = simcc_loss((x, y), keypoints, torch.ones(1, 2), 2.0, 10.0)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    simcc_loss((x * 0, y), keypoints, torch.tensor([[1.0, 0.0]]), 2.0, 10.0).backward()
    assert x.grad is not None
    assert x.grad[0, 1].abs().sum() == 0


def test_nobody_labelled_is_no_loss_not_nan() -> None:
    x = torch.zeros(1, 2, 8)
    assert simcc_loss((x, x), torch.zeros(1, 2, 2), torch.zeros(1, 2), 2.0, 10.0).item() == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_distillation_is_zero_only_for_the_teacher_itself(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 24, generator=generator), torch.randn(2, 3, 32, generator=generator)
    x, y = (torch.softmax(axis * 10, dim=-1) for axis in logits)
    ones = torch.ones(2, 3)
    # A student with beta 5 imitates a teacher with beta 10 by outputs twice as large.
    twice = (logits[0] * 2, logits[1] * 2)
    assert distillation_loss(twice, (x, y), ones, 5.0).item() == pytest.approx(0, abs=1e-5)
    assert distillation_loss(logits, (x.roll(1, -1), y), ones, 10.0).item() > 0.01
