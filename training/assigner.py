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
    """(N,A): the person that each grid point answers for, or -1; its overlap with them, else 0."""

    person: Tensor
    overlap: Tensor


def iou_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of xyxy boxes a (...,N,4) and b (...,M,4): (...,N,M)."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((v[..., 2:] - v[..., :2]).clamp(min=0).prod(-1) for v in (a, b))
    overlap: Tensor = inner / (area_a + area_b - inner).clamp(min=_EPSILON)
    return overlap


@torch.no_grad()
def assign(
    points: Tensor, strides: Tensor, logits: Tensor, boxes: Tensor, persons: Tensor, real: Tensor
) -> Assignment:
    """Assign the persons of N pictures, all at once: a device is not waited for.

    The cost of a point for a person is the sum of three: how far its score is from the overlap (cross
    entropy times the squared difference), 3 * -log(overlap), and the distance from the person's
    center, soft. A person gets as many points as the 13 largest overlaps add up to, at least one, the
    cheapest ones; a point that two persons want goes to the one that it is cheaper for. Only points
    inside somebody's box take part.

    Args:
        points: (A,2) px.
        strides: (A,) px.
        logits: (N,A) scores before the sigmoid.
        boxes: (N,A,4) predicted, xyxy px.
        persons: (N,G,4) true, xyxy px; G at least 1.
        real: (N,G) True where there is such a person.
    """
    margins = torch.minimum(
        points[:, None] - persons[:, None, :, :2], persons[:, None, :, 2:] - points[:, None]
    )
    inside = (margins.amin(-1) > 0) & real[:, None]
    possible = inside.any(2, keepdim=True) & real[:, None]  # (N,A,G)
    overlaps = torch.where(possible, iou_matrix(boxes, persons), 0)
    scores = logits[..., None].expand_as(overlaps)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(scores, overlaps, reduction="none")
    classify = entropy * (overlaps - scores.sigmoid()).abs() ** 2
    centers = (persons[..., :2] + persons[..., 2:]) / 2
    away = (points[:, None] - centers[:, None]).norm(dim=-1) / strides[:, None]
    cost = classify - IOU_WEIGHT * (overlaps + _EPSILON).log() + CENTER_BASE ** (away - CENTER_FREE)
    cost = torch.where(possible, cost, torch.inf)

    most = min(CANDIDATES, len(points))
    wanted = overlaps.topk(most, dim=1).values.sum(1).int().clamp(min=1)
    cheapest = cost.topk(most, dim=1, largest=False).indices
    among = torch.arange(most, device=points.device)[:, None] < wanted[:, None]
    chosen = torch.zeros_like(possible).scatter_(1, cheapest, among) & possible
    taken = chosen.any(2)
    winner = torch.where(chosen, cost, torch.inf).argmin(2)
    overlap = overlaps.gather(2, winner[..., None]).squeeze(2)
    return Assignment(torch.where(taken, winner, -1), torch.where(taken, overlap, 0))
