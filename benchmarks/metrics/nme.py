"""NME: the mean error in shares of a size, for faces the gap between the outer eye corners."""

from __future__ import annotations

import numpy as np

from rtmpose_sdk.benchmarks.metrics.distances import Distances


def nme(errors: Distances, sizes: Distances) -> float:
    """Mean of (L,) errors px / (L,) sizes px, of persons that were found and have a size; NaN of none."""
    usable = np.isfinite(errors) & np.isfinite(sizes) & (sizes > 0)
    return float((errors[usable] / sizes[usable]).mean()) if usable.any() else float("nan")
