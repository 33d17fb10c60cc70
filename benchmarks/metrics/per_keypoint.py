"""Which keypoints are found well, and which are not?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtmpose_sdk.benchmarks.matched import Matched

PCK_SHARE = 0.1
"""Of the person's scale (root of the area): a keypoint nearer than that is correct."""


class KeypointError(NamedTuple):
    """Of one keypoint: labels, share of them found within `PCK_SHARE`, median error (px, and in % of the
    scale, of those of matched persons), mean OKS term.
    """

    name: str
    labelled: int
    pck: float
    median_px: float
    median_percent: float
    oks: float


def keypoint_errors(persons: Sequence[Matched], names: Sequence[str]) -> list[KeypointError]:
    """A row for each keypoint, in order; NaN where nothing is labelled."""
    rows = []
    for k, name in enumerate(names):
        have = [p for p in persons if p.labelled[k]]
        errors = np.array([float(np.linalg.norm(p.found[k] - p.truth[k])) for p in have])
        relative = errors / np.array([p.scale for p in have])
        seen = np.isfinite(errors)
        nothing = not have
        rows.append(
            KeypointError(
                name,
                len(have),
                float("nan") if nothing else float((relative <= PCK_SHARE).mean()),
                float(np.median(errors[seen])) if seen.any() else float("nan"),
                100 * float(np.median(relative[seen])) if seen.any() else float("nan"),
                float("nan") if nothing else float(np.mean([p.similarity[k] for p in have])),
            )
        )
    return rows
