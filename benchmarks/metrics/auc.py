"""AUC: PCK in px, averaged over thresholds (Zimmermann and Brox 2017; the paper's hand tables)."""

from __future__ import annotations

import numpy as np

from rtmpose_sdk.benchmarks.metrics.distances import Distances

LARGEST = 30.0
"""px of the picture."""
STEPS = 20


def auc(errors: Distances, largest: float = LARGEST) -> float:
    """Mean share 0...1 of (L,) errors px below 0, 1/20, ... 19/20 of `largest`; NaN of none."""
    if not len(errors):
        return float("nan")
    return float(np.mean([(errors < largest * step / STEPS).mean() for step in range(STEPS)]))
