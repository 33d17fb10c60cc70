"""Which grid points answer for which person? Dynamic soft label assignment (RTMDet, section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CANDIDATES = 13
"""Overlaps that are added up to the number of points of a person."""
IOU_WEIGHT = 3.0
CENTER_BASE, CENTER_FREE = 10.0, 3.0
"""A point `d` strides from the center costs 10 ** (d - 3)."""
_EPSILON = 1e-7


class Assignment(NamedTuple):
    """For A grid points: number of the person each answers for, or -1; its overlap with them, else 0."""

    person: Tensor
    overlap: Tensor


def iou_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of xyxy boxes a (N,4) and b (M,4): (N,M)."""
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((v[:, 2:] - v[:, :2]).clamp(min=0).prod(-1) for v in (a, b))
    overlap: Tensor = inner / (area_a[:, None] + area_b[None] - inner).clamp(min=_EPSILON)
    return overlap


@torch.no_grad()
def assign(points: Tensor, strides: Tensor, logits: Tensor, boxes: Tensor, persons: Tensor) -> Assignment:
    """Assign the persons of one picture.

    The cost of a point for a person is the sum of three: how far its score is from the overlap (cross
    entropy times the squared difference), 3 * -log(overlap), and the distance from the person's
    center, soft. A person gets as many points as the 13 largest overlaps add up to, at least one, the
    cheapest ones; a point that two persons want goes to the one that it is cheaper for. Only points
    inside somebody's box take part.

    Args:
        points: (A,2) px.
        strides: (A,) px.
        logits: (A,) scores before the sigmoid.
        boxes: (A,4) predicted, xyxy px.
        persons: (G,4) true, xyxy px.
    """
    count = len(points)
    person = torch.full((count,), -1, dtype=torch.long, device=points.device)
    overlap = torch.zeros(count, device=points.device)
    if len(persons) == 0:
        return Assignment(person, overlap)
    margins = torch.cat(
        [points[:, None] - persons[None, :, :2], persons[None, :, 2:] - points[:, None]], -1
    )
    inside = (margins.min(-1).values > 0).any(1)
    valid = inside.nonzero().squeeze(1)
    if len(valid) == 0:
        return Assignment(person, overlap)
    overlaps = iou_matrix(boxes[valid], persons)
    scores = logits[valid, None].expand_as(overlaps)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(scores, overlaps, reduction="none")
    classify = entropy * (overlaps - scores.sigmoid()).abs() ** 2
    centers = (persons[:, :2] + persons[:, 2:]) / 2
    away = (points[valid, None] - centers[None]).norm(dim=-1) / strides[valid, None]
    cost = classify - IOU_WEIGHT * (overlaps + _EPSILON).log() + CENTER_BASE ** (away - CENTER_FREE)

    wanted = overlaps.topk(min(CANDIDATES, len(valid)), dim=0).values.sum(0).int().clamp(min=1)
    rank = cost.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    chosen = rank < wanted[None]
    contested = torch.where(chosen, cost, torch.inf)
    taken = chosen.any(1)
    winner = contested.argmin(1)
    person[valid[taken]] = winner[taken]
    overlap[valid[taken]] = overlaps[taken, winner[taken]]
    return Assignment(person, overlap)
