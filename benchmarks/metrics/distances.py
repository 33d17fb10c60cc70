"""How far, in px and in shares of a person's size, are keypoints from the truth? (arrays of all labels)"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.matched import Matched

Distances = NDArray[np.float64]


def distances(persons: Sequence[Matched]) -> Distances:
    """(L,) px of every labelled keypoint; infinite where nobody was found."""
    parts = [np.linalg.norm(p.found - p.truth, axis=1)[p.labelled].astype(np.float64) for p in persons]
    return np.nan_to_num(np.concatenate(parts), nan=np.inf) if parts else np.empty(0)


def box_sides(persons: Sequence[Matched]) -> Distances:
    """(L,) px: the longer side of each labelled keypoint's person, PCK's usual size."""
    sides = [float(max(p.box[2] - p.box[0], p.box[3] - p.box[1])) for p in persons]
    return np.repeat(np.array(sides), [int(p.labelled.sum()) for p in persons])


def between(persons: Sequence[Matched], a: int, b: int) -> Distances:
    """(L,) px between two annotated keypoints (the eyes, for faces); NaN where they are not labelled."""
    gaps = [
        float(np.linalg.norm(p.truth[a] - p.truth[b])) if p.labelled[a] and p.labelled[b] else np.nan
        for p in persons
    ]
    return np.repeat(np.array(gaps), [int(p.labelled.sum()) for p in persons])
