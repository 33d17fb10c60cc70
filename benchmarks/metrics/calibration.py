"""Is a keypoint of confidence 0.8 right in 8 of 10 cases? (Guo et al. 2017, section 2.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtmpose_sdk.benchmarks.matched import Matched
from rtmpose_sdk.oks import Floats

BINS = 10
CORRECT = 0.5
"""Least OKS term of a keypoint that counts as right."""


class Bin(NamedTuple):
    """Confidences from `low` to `high`: how many keypoints, their mean confidence, share that is right."""

    low: float
    high: float
    keypoints: int
    confidence: float
    right: float


class Calibration(NamedTuple):
    """Bins that hold keypoints, and the expected calibration error, 0...1."""

    bins: list[Bin]
    ece: float


def calibrate(confidences: Floats, right: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Calibration:
    """Of (N,) confidences 0...1 and whether each keypoint is right."""
    place = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = []
    for b in range(BINS):
        here = place == b
        if here.any():
            mean, share = float(confidences[here].mean()), float(right[here].mean())
            bins.append(Bin(b / BINS, (b + 1) / BINS, int(here.sum()), mean, share))
    gap = sum(b.keypoints * abs(b.confidence - b.right) for b in bins)
    return Calibration(bins, gap / max(len(confidences), 1))


def calibration(persons: Sequence[Matched]) -> Calibration:
    """Of the labelled keypoints of matched persons."""
    met = [p for p in persons if np.isfinite(p.found).all()]
    if not met:
        return Calibration([], 0.0)
    confidences = np.concatenate([p.confidences[p.labelled] for p in met])
    right = np.concatenate([p.similarity[p.labelled] >= CORRECT for p in met])
    return calibrate(confidences, right)
