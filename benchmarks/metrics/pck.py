"""PCK: which share of keypoints is nearer than a share of the size? (Yang and Ramanan 2013)"""

from __future__ import annotations

import numpy as np

from rtmpose_sdk.benchmarks.metrics.distances import Distances

THRESHOLD = 0.2
"""MMPose's for hands, with the longer side of the box."""


def pck(errors: Distances, sizes: Distances, threshold: float = THRESHOLD) -> float:
    """Share 0...1 of (L,) errors px that are at most `threshold` of (L,) sizes px; NaN of none."""
    usable = np.isfinite(sizes) & (sizes > 0)
    return float((errors[usable] <= threshold * sizes[usable]).mean()) if usable.any() else float("nan")
