"""Quality focal loss and GIoU by hand; the whole loss of a small scene."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpose_sdk.training.detector import detector_losses, grid_points, padded
from rtmpose_sdk.training.detector_loss import giou_loss, quality_focal_loss


def test_quality_focal_loss_by_hand() -> None:
    logits, quality = torch.tensor([0.0, 2.0, -3.0]), torch.tensor([0.0, 0.8, 0.0])
    expected = []
    for x, q in zip(logits.tolist(), quality.tolist(), strict=True):
        s = 1 / (1 + math.exp(-x))
        expected.append(-(q * math.log(s) + (1 - q) * math.log(1 - s)) * (q - s) ** 2)
    assert quality_focal_loss(logits, quality).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 0.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 - (2 / 6 - 0)),
        ((0, 0, 1, 1), (2, 0, 3, 1), 1 - (0 - 1 / 3)),  # apart: the hull has an empty third
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 - (1 / 7 - 2 / 9)),
    ],
)
def test_giou_by_hand(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    found = giou_loss(torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32))
    assert found.item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_giou_is_within_zero_and_two_and_pulls_boxes_that_are_apart(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(8, 2, generator=generator) * 50
    boxes = torch.cat([low, low + 1 + torch.rand(8, 2, generator=generator) * 20], 1).requires_grad_()
    target = torch.tensor([[200.0, 200.0, 220.0, 230.0]]).expand(8, 4)
    loss = giou_loss(boxes, target)
    assert ((loss >= 0) & (loss <= 2)).all()
    loss.sum().backward()
    assert boxes.grad is not None
    assert (boxes.grad[:, 2:] < 0).all()  # towards the target


def _levels(logit: float) -> tuple[torch.Tensor, ...]:
    """A 32x32 input: 16, 4 and 1 points, every box reaching 8 px to each side."""
    sides = (4, 2, 1)
    return (
        *(torch.full((1, 1, s, s), logit) for s in sides),
        *(torch.full((1, 4, s, s), 8.0) for s in sides),
    )


def _losses(
    logit: float,
    points: torch.Tensor,
    strides: torch.Tensor,
    persons: torch.Tensor,
    ignored: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Of one picture."""
    full, real = (torch.from_numpy(v) for v in padded([persons.numpy()]))
    regions = torch.from_numpy(padded([ignored.numpy()])[0])
    return detector_losses(_levels(logit), points, strides, full, real, regions)


def test_losses_of_a_scene_with_one_perfect_box() -> None:
    """The point (16,16) of stride 8 has just the person's box; all others are background."""
    points, strides = grid_points((32, 32))
    person = torch.tensor([[8.0, 8.0, 24.0, 24.0]])
    losses = _losses(-2.0, points, strides, person, torch.zeros(0, 4))
    s = 1 / (1 + math.exp(2.0))
    # (16,16) exists at strides 8 and 16: both fit, sum of overlaps of valid points decides how many win.
    assert losses["box"].item() == pytest.approx(0, abs=1e-6)
    positives = 2
    background = (21 - positives) * -math.log(1 - s) * s**2
    positive = positives * -math.log(s) * (1 - s) ** 2
    assert losses["quality"].item() == pytest.approx((background + positive) / positives, rel=1e-4)


def test_points_in_an_ignored_region_give_no_loss() -> None:
    points, strides = grid_points((32, 32))
    nobody = torch.zeros(0, 4)
    everywhere = torch.tensor([[-1.0, -1.0, 33.0, 33.0]])
    plain = _losses(1.0, points, strides, nobody, nobody)
    ignored = _losses(1.0, points, strides, nobody, everywhere)
    assert plain["quality"].item() > 1
    assert ignored["quality"].item() == 0
    assert plain["box"].item() == ignored["box"].item() == 0
