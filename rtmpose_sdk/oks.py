"""Do two poses show the same person? Object keypoint similarity (COCO) and pose NMS (paper section 3.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import box_areas, overlap_of_smaller
from rtmpose_sdk.keypoint_sets import KeypointSet

Floats = NDArray[np.float32]

UNKNOWN_SIGMA = 0.079
"""Falloff of keypoints that have none: the middle of COCO's (the shoulders')."""
LEAST_COMMON = 3
"""With fewer keypoints seen in both poses, their similarity says nothing."""


def sigmas_of(keypoint_set: KeypointSet) -> Floats:
    """(K,) falloffs of a keypoint set; `UNKNOWN_SIGMA` where it defines none."""
    return np.array(keypoint_set.oks_sigmas or [UNKNOWN_SIGMA] * len(keypoint_set), np.float32)


def similarity(
    a: Floats, b: Floats, weights_a: Floats, weights_b: Floats, areas: Floats, sigmas: Floats
) -> Floats:
    """OKS of every pose of `a` with every one of `b`, over the keypoints that both have.

    Args:
        a, b: keypoints (N,K,2) and (M,K,2) px.
        weights_a, weights_b: (N,K) and (M,K); 0 leaves a keypoint out.
        areas: (N,) px² of the persons of `a`.
        sigmas: (K,) falloffs.

    Returns:
        (N,M) in 0...1; NaN where fewer than `LEAST_COMMON` keypoints are common.
    """
    distances = np.square(a[:, None] - b[None]).sum(axis=3)
    # COCO's exponent: d² / (2 s² k²) with k = 2 sigma and s² the person's area.
    scale = 8 * np.maximum(areas, 1)[:, None, None] * np.square(sigmas)
    weights = weights_a[:, None] * weights_b[None]
    total = weights.sum(axis=2)
    enough = (weights > 0).sum(axis=2) >= LEAST_COMMON
    oks = (np.exp(-distances / scale) * weights).sum(axis=2)
    shared: Floats = np.divide(oks, total, out=np.full_like(oks, np.nan), where=enough)
    return shared


def suppress_poses(
    keypoints: Floats,
    weights: Floats,
    boxes: Floats,
    priorities: Floats,
    sigmas: Floats,
    oks_threshold: float,
    overlap_threshold: float | Floats,
) -> list[int]:
    """Greedy pose NMS: which poses stay, best first.

    A pose goes where a better one is alike (OKS) and one of their boxes lies in the other: two people
    who hold each other can have alike poses in a weak network, but boxes of their own.

    Args:
        keypoints: (N,K,2) px.
        weights: (N,K); 0 leaves a keypoint out.
        boxes: (N,4) xyxy px.
        priorities: (N,) the better one stays.
        sigmas: (K,) falloffs.
        oks_threshold, overlap_threshold: both must be exceeded; the latter may be (N,N).
    """
    order: list[int] = np.argsort(-priorities, kind="stable").tolist()
    if len(order) < 2:
        return order
    overlap = overlap_of_smaller(boxes, boxes)
    areas = box_areas(boxes)
    oks = similarity(keypoints, keypoints, weights, weights, areas, sigmas)
    alike = np.nan_to_num(np.maximum(oks, oks.T)) > oks_threshold
    double = alike & (overlap > overlap_threshold)
    kept: list[int] = []
    for i in order:
        if not any(double[i, j] for j in kept):
            kept.append(i)
    return kept
