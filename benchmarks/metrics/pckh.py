"""PCKh: which share of joints is nearer than a share of the head's size? (Andriluka et al. 2014)"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.metrics.distances import Distances

THRESHOLDS = (0.5, 0.1)
HEAD_SHARE = 0.6
"""The head's size is this share of its box's diagonal."""
GROUPS = {
    "head": ("head_top",),
    "shoulder": ("left_shoulder", "right_shoulder"),
    "elbow": ("left_elbow", "right_elbow"),
    "wrist": ("left_wrist", "right_wrist"),
    "hip": ("left_hip", "right_hip"),
    "knee": ("left_knee", "right_knee"),
    "ankle": ("left_ankle", "right_ankle"),
}
"""MPII's rows: each the mean of its labelled joints' shares."""
LEFT_OUT = ("pelvis", "thorax")
"""Of the mean over all joints."""


def pckh(
    errors: Distances, labelled: NDArray[np.bool_], heads: Distances, names: tuple[str, ...]
) -> dict[str, float]:
    """Figures 0...1 by name ("PCKh@0.5", "PCKh@0.5 wrist"); NaN of joints that nobody has.

    The mean weighs each joint by how often it is labelled, without `LEFT_OUT`.

    Args:
        errors: (N,K) px, infinite where nobody was found.
        labelled: (N,K).
        heads: (N,) px, the head's size.
        names: K keypoint names, MPII's.
    """
    counted = np.array([name not in LEFT_OUT for name in names])
    figures = {}
    for threshold in THRESHOLDS:
        right = (errors <= threshold * heads[:, None]) & labelled
        label = f"PCKh@{threshold}"
        figures[label] = _share(right[:, counted].sum(), labelled[:, counted].sum())
        for group, joints in GROUPS.items():
            places = [names.index(joint) for joint in joints]
            shares = [
                _share(right[:, k].sum(), labelled[:, k].sum()) for k in places if labelled[:, k].any()
            ]
            figures[f"{label} {group}"] = float(np.mean(shares)) if shares else float("nan")
    return figures


def _share(right: int, labelled: int) -> float:
    return float(right / labelled) if labelled else float("nan")
