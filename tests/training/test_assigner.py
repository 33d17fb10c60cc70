"""Dynamic soft label assignment against its definition in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpose_sdk.training.assigner import Assignment, assign, iou_matrix
from rtmpose_sdk.training.detector import grid_points, padded

SIDE = 64


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = float(np.clip(high - low, 0, None).prod())
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / area


def _by_hand(
    points: np.ndarray, strides: np.ndarray, logits: np.ndarray, boxes: np.ndarray, persons: np.ndarray
) -> tuple[list[int], list[float]]:
    """RTMDet's text, one point and one person at a time."""
    valid = [
        i for i, (x, y) in enumerate(points) if any(p[0] < x < p[2] and p[1] < y < p[3] for p in persons)
    ]
    cost, overlaps = {}, {}
    for i in valid:
        for g, person in enumerate(persons):
            u = _iou(boxes[i], person)
            s = 1 / (1 + math.exp(-logits[i]))
            entropy = -(u * math.log(s) + (1 - u) * math.log(1 - s))
            center = (person[:2] + person[2:]) / 2
            distance = math.dist(points[i], center) / strides[i]
            overlaps[i, g] = u
            cost[i, g] = entropy * (u - s) ** 2 - 3 * math.log(u + 1e-7) + 10 ** (distance - 3)
    wants: dict[int, list[int]] = {}
    for g in range(len(persons)):
        best = sorted((overlaps[i, g] for i in valid), reverse=True)[:13]
        for i in sorted(valid, key=lambda i: cost[i, g])[: max(int(sum(best)), 1)]:
            wants.setdefault(i, []).append(g)
    person, overlap = [-1] * len(points), [0.0] * len(points)
    for i, candidates in wants.items():
        person[i] = min(candidates, key=lambda g: cost[i, g])
        overlap[i] = overlaps[i, person[i]]
    return person, overlap


def _scene(seed: int, count: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    points, strides = grid_points((SIDE, SIDE))
    low = torch.rand(count, 2, generator=generator) * 40
    persons = torch.cat([low, low + 6 + torch.rand(count, 2, generator=generator) * 30], 1)
    nearest = persons[torch.randint(count, (len(points),), generator=generator)]
    boxes = nearest + torch.randn(len(points), 4, generator=generator) * 3
    return points, strides, torch.randn(len(points), generator=generator), boxes, persons


def _alone(
    points: torch.Tensor,
    strides: torch.Tensor,
    logits: torch.Tensor,
    boxes: torch.Tensor,
    persons: torch.Tensor,
) -> Assignment:
    """The assignment of one picture."""
    full, real = (torch.from_numpy(v) for v in padded([persons.numpy()]))
    found = assign(points, strides, logits[None], boxes[None], full, real)
    return Assignment(found.person[0], found.overlap[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_assignment_is_the_definition(seed: int, count: int) -> None:
    scene = _scene(seed, count)
    found = _alone(*scene)
    person, overlap = _by_hand(*(t.numpy().astype(np.float64) for t in scene))
    assert found.person.tolist() == person
    assert found.overlap.tolist() == pytest.approx(overlap, abs=1e-4)


def test_a_contested_point_goes_to_the_cheaper_person() -> None:
    """One point inside two boxes: it fits the second one better, and the first goes without."""
    points, strides = torch.tensor([[16.0, 16.0]]), torch.tensor([8.0])
    persons = torch.tensor([[0.0, 0.0, 40.0, 40.0], [8.0, 8.0, 24.0, 24.0]])
    found = _alone(points, strides, torch.zeros(1), persons[1:], persons)
    assert found.person.tolist() == [1]
    assert found.overlap.tolist() == pytest.approx([1.0])


def test_nobody_there_and_nobody_reached() -> None:
    points, strides = grid_points((SIDE, SIDE))
    boxes, logits = torch.zeros(len(points), 4), torch.zeros(len(points))
    for persons in (torch.zeros(0, 4), torch.tensor([[1.0, 1.0, 6.0, 6.0]])):  # between grid points
        found = _alone(points, strides, logits, boxes, persons)
        assert (found.person == -1).all()
        assert found.overlap.sum() == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 4), min_size=2, max_size=4))
def test_pictures_of_a_batch_do_not_know_of_each_other(seed: int, counts: list[int]) -> None:
    scenes = [_scene(seed + i, max(count, 1)) for i, count in enumerate(counts)]
    persons = [scene[4][:count] for scene, count in zip(scenes, counts, strict=True)]
    logits, boxes = (torch.stack([scene[i] for scene in scenes]) for i in (2, 3))
    full, real = (torch.from_numpy(v) for v in padded([p.numpy() for p in persons]))
    found = assign(*scenes[0][:2], logits, boxes, full, real)
    for i, each in enumerate(persons):
        alone = _alone(*scenes[0][:2], logits[i], boxes[i], each)
        assert torch.equal(found.person[i], alone.person)
        assert torch.equal(found.overlap[i], alone.overlap)


def test_iou_matrix() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    b = torch.tensor([[1.0, 1.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]])
    assert iou_matrix(a, b).tolist() == [[pytest.approx(1 / 7), 0], [0, 0]]
