"""Which boxes and poses show several people as one, and whose are they?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import box_areas, intersections, iou, overlap_of_smaller
from rtmpose_sdk.oks import similarity, suppress_poses
from rtmpose_sdk.tracks import SCENE_CONFIDENCE, Candidates, Track, is_framed

Floats = NDArray[np.float32]

WITHIN = 0.8
"""Share of a track's place that lies in a detection which shows its person too."""

UNPROVEN_OVERLAP = 0.3
"""Overlap of boxes of which not both were detected, above which alike poses are one person's."""
_TIE = 0.1
"""Weight beside the detector's score of what else speaks for a pose."""


def shared_boxes(
    boxes: Floats,
    sure: NDArray[np.bool_],
    tracks: list[Track],
    places: Floats,
    chosen: dict[int, int | None],
) -> dict[int, list[Track]]:
    """Detections that several tracks mean: they chose it, or none, and their place lies in a sure one.

    Args:
        boxes: (N,4) xyxy px, detected.
        sure: (N,) those that may begin a track.
        tracks: who is looked for.
        places: (T,4) xyxy px, where they should be by now.
        chosen: by `id` of each track, the detection it most likely means, or None.
    """
    if len(tracks) < 2 or not len(boxes):
        return {}
    within = intersections(places, boxes) / np.maximum(box_areas(places), 1)[:, None]
    around = np.where(sure & (within > WITHIN), iou(places, boxes), 0)
    meant: dict[int, list[Track]] = {}
    for track, overlap in zip(tracks, around, strict=True):
        index = chosen[id(track)]
        if index is None and overlap.any():
            index = int(overlap.argmax())
        if index is not None:
            meant.setdefault(index, []).append(track)
    return {index: several for index, several in meant.items() if len(several) > 1}


def whose(tracks: list[Track], poses: Candidates, sigmas: Floats) -> int | None:
    """Which of the tracks that share a detection is posed most as it was; None where no pose is sure.

    Who is hidden takes on the pose of who is in front, and is the less like itself.

    Args:
        tracks: (T) who shares it.
        poses: (T) at the tracks' own places, in order.
        sigmas: (K,) OKS falloffs.
    """
    oks = similarity(
        np.stack([t.keypoints for t in tracks]),
        poses.keypoints,
        np.stack([t.confidences for t in tracks]),
        poses.confidences,
        box_areas(poses.boxes),
        sigmas,
    )
    alike = np.nan_to_num(oks.diagonal())
    framed = np.array([is_framed(row) for row in poses.confidences])
    return int(np.where(framed, alike, -1).argmax()) if framed.any() else None


def without_doubles(
    candidates: Candidates,
    fits: Callable[[Candidates], Floats],
    sigmas: Floats,
    oks_threshold: float,
    overlap_threshold: float,
) -> Candidates:
    """Pose NMS; detections come before what only a track says, and of such the one that is like its track.

    Args:
        candidates: of one frame.
        fits: (N,) how much each is like a track, 0...1; asked where boxes overlap.
        sigmas: (K,) falloffs.
        oks_threshold: similarity above which two poses may be one person's.
        overlap_threshold: overlap of two detected boxes that must be exceeded as well.
    """
    if len(candidates) < 2:
        return candidates
    # Two detections may be two people in each other's arms; a track's own box is no proof.
    detected = candidates.scores > 0
    limits = np.where(detected[:, None] & detected, overlap_threshold, UNPROVEN_OVERLAP).astype(np.float32)
    near = overlap_of_smaller(candidates.boxes, candidates.boxes) > limits
    np.fill_diagonal(near, False)
    if not near.any():
        sure = candidates.scores + _TIE * candidates.confidences.mean(axis=1)
        return candidates.take(np.argsort(-sure, kind="stable").tolist())
    kept = suppress_poses(
        candidates.keypoints,
        np.where(candidates.confidences >= SCENE_CONFIDENCE, candidates.confidences, 0),
        candidates.boxes,
        candidates.scores + _TIE * fits(candidates),
        sigmas,
        oks_threshold,
        limits,
    )
    return candidates.take(kept)
