"""Whom does a frame of a stream show: confirmed persons, by id, smoothed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.choosing import clip_box
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.smoothing import OneEuro, Smoothing
from rtmpose_sdk.tracks import Candidates, Track

Seen = tuple[Track, Candidates, int]
"""A track, the candidates of the frame, and which of them it is."""


class Showing:
    """Tracks as a PoseResult, and a One-Euro filter for each of them.

    Args:
        keypoint_set: the pose network's.
        smoothing: settings of the filters; None leaves keypoints as they are measured.
    """

    def __init__(self, keypoint_set: KeypointSet, smoothing: Smoothing | None) -> None:
        self._keypoint_set, self._smoothing = keypoint_set, smoothing
        self._filters: dict[int, OneEuro] = {}

    def clear(self) -> None:
        """Forget everybody: a new scene."""
        self._filters.clear()

    def __call__(
        self, seen: list[Seen], alive: set[int], picture: NDArray[np.uint8], time: float
    ) -> PoseResult:
        """The confirmed persons of a frame. Depths are as they were measured, only places are smoothed.

        Args:
            seen: who was matched in it.
            alive: ids of all confirmed tracks, whose filters are kept.
            picture: (H,W,3), the frame.
            time: seconds.
        """
        size = (picture.shape[1], picture.shape[0])
        rows = sorted(
            ((t, c, i) for t, c, i in seen if t.state == "confirmed"), key=lambda row: row[0].number
        )
        self._filters = {n: f for n, f in self._filters.items() if n in alive}
        if not rows:
            return replace(PoseResult.empty(self._keypoint_set, size), track_ids=np.empty(0, np.int64))
        depths = [c.depths[i] for _, c, i in rows if c.depths is not None]
        return PoseResult(
            boxes=np.stack([clip_box(t.motion.box, picture) for t, _, _ in rows]),
            box_scores=np.array([t.score for t, _, _ in rows], np.float32),
            keypoints=np.stack([self._smooth(*row, time) for row in rows]).astype(np.float32),
            keypoint_scores=np.stack([c.keypoint_scores[i] for _, c, i in rows]),
            confidences=np.stack([c.confidences[i] for _, c, i in rows]),
            keypoint_set=self._keypoint_set,
            image_size=size,
            track_ids=np.array([t.number for t, _, _ in rows], np.int64),
            depths=np.stack(depths) if len(depths) == len(rows) else None,
        )

    def _smooth(self, track: Track, candidates: Candidates, index: int, time: float) -> NDArray[np.float32]:
        """A person's keypoints (K,2)."""
        points: NDArray[np.float32] = candidates.keypoints[index]
        if self._smoothing is None:
            return points
        smooth = self._filters.setdefault(track.number, OneEuro(self._smoothing))
        return smooth(points, candidates.confidences[index], time, track.motion.size, track.motion.velocity)
