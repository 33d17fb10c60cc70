"""The detector's loss: quality focal loss and GIoU (RTMDet, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

QUALITY_POWER = 2.0
BOX_WEIGHT = 2.0
_EPSILON = 1e-7


def quality_focal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Cross entropy with the overlap as a soft label, times |label - score| squared; same shape."""
    scores = logits.sigmoid()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return entropy * (quality - scores).abs() ** QUALITY_POWER


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - generalised intersection over union of pairs of xyxy boxes (N,4): (N,), 0...2."""
    low, high = torch.maximum(boxes[:, :2], targets[:, :2]), torch.minimum(boxes[:, 2:], targets[:, 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    areas = ((boxes[:, 2:] - boxes[:, :2]).prod(-1), (targets[:, 2:] - targets[:, :2]).prod(-1))
    union = (areas[0] + areas[1] - inner).clamp(min=_EPSILON)
    outer_low = torch.minimum(boxes[:, :2], targets[:, :2])
    outer_high = torch.maximum(boxes[:, 2:], targets[:, 2:])
    hull = (outer_high - outer_low).clamp(min=0).prod(-1).clamp(min=_EPSILON)
    loss: Tensor = 1 - (inner / union - (hull - union) / hull)
    return loss
