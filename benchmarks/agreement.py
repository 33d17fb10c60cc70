"""How far are poses from those of the fp32 networks, where there is no truth to measure AP with?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtmpose_sdk.boxes import box_areas
from rtmpose_sdk.oks import sigmas_of, similarity
from rtmpose_sdk.results import PoseResult


def disagreement(reference: Sequence[PoseResult], found: Sequence[PoseResult]) -> float:
    """1 - the mean OKS of each person with its counterpart, 0...1; persons without one count as OKS 0.

    Greedy, best pairs first; both the reference's and the other's lonely persons count. Keypoints weigh
    as much as the reference is sure of them. Nobody on either side is full agreement.
    """
    total, pairs = 0.0, 0
    for want, have in zip(reference, found, strict=True):
        pairs += max(len(want), len(have))
        if not len(want) or not len(have):
            continue
        oks = similarity(
            want.keypoints,
            have.keypoints,
            want.confidences,
            np.ones_like(have.confidences),
            box_areas(want.boxes),
            sigmas_of(want.keypoint_set),
        )
        oks = np.nan_to_num(oks)
        for _ in range(min(oks.shape)):
            i, j = np.unravel_index(int(oks.argmax()), oks.shape)
            total += max(float(oks[i, j]), 0.0)
            oks[i], oks[:, j] = -1, -1
    return 1 - total / pairs if pairs else 0.0
