"""What is seen in a frame, and what is known of one person over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.motion import BoxMotion

Floats = NDArray[np.float32]

SCENE_CONFIDENCE = 0.3
"""Keypoints of at least this confidence make a box."""
LEAST_FRAMING = 4
"""So many of them, at least."""
CONFIDENCE_SHARE = 0.2
"""Of what is seen now in a track's usual confidence."""


@dataclass
class Candidates:
    """Persons seen in one frame, not yet known by name.

    Attributes:
        boxes: (N,4) xyxy px.
        scores: (N,) the detector's, 0 where no detection stands behind.
        keypoints: (N,K,2) px.
        keypoint_scores: (N,K) as the network gives them.
        confidences: (N,K).
        looks: (N,2,3) colours of the clothes, see `Wardrobe`; NaN is unknown.
        depths: (N,K) m from the root; None where the model is flat.
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats
    keypoint_scores: Floats
    confidences: Floats
    looks: Floats
    depths: Floats | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: list[int]) -> Candidates:
        """Those of `rows`, in that order."""
        return Candidates(
            self.boxes[rows],
            self.scores[rows],
            self.keypoints[rows],
            self.keypoint_scores[rows],
            self.confidences[rows],
            self.looks[rows],
            None if self.depths is None else self.depths[rows],
        )


@dataclass
class Track:
    """One person.

    Attributes:
        motion: box and velocity.
        keypoints, confidences: (K,2) px and (K,) of the last pose; a keypoint that was not seen lately is
            carried along.
        seen: seconds, when it was last matched; `detected`: when last by a detection.
        score: the last detection's.
        detected_size: (2,) px, width and height of the last detection.
        look: (2,3) colours of the clothes, averaged.
        hits: detections so far.
        state: tentative (no id yet), confirmed, lost.
        number: the id; 0 while tentative.
        usual_confidence: `better_half`, averaged, of its poses that no good detection stood behind.
        detected_confidence: `better_half` of its pose at the last detection.
        last_box: (4,) xyxy px, where it was last matched.
        at_edge: seconds, when its place last touched the picture's edge.
        margins: (4,) from the extent of the keypoints `framing` to the detected box, in body sizes.
        framing: (K,) bool, the keypoints that were sure then.
    """

    motion: BoxMotion
    keypoints: Floats
    confidences: Floats
    seen: float
    detected: float
    score: float
    detected_size: Floats
    look: Floats
    hits: int = 1
    state: Literal["tentative", "confirmed", "lost"] = "tentative"
    number: int = 0
    margins: Floats | None = None
    framing: NDArray[np.bool_] | None = None
    usual_confidence: float | None = None
    detected_confidence: float = math.inf
    at_edge: float = -math.inf

    def __post_init__(self) -> None:
        self.last_box = self.motion.box

    def remember_confidence(self, now: float) -> None:
        """Take the `better_half` of a pose into `usual_confidence`."""
        usual = now if self.usual_confidence is None else self.usual_confidence
        self.usual_confidence = (1 - CONFIDENCE_SHARE) * usual + CONFIDENCE_SHARE * now


def better_half(confidences: Floats) -> float:
    """Mean of the better half of confidences (K,)."""
    return float(np.sort(confidences)[-max(len(confidences) // 2, 1) :].mean())


def is_framed(confidences: Floats) -> bool:
    """Are enough of a pose's keypoints (K,) sure? Of small keypoint sets half is enough."""
    least = min(LEAST_FRAMING, (len(confidences) + 1) // 2)
    return bool((confidences >= SCENE_CONFIDENCE).sum() >= least)


def keypoint_extent(keypoints: Floats, those: NDArray[np.bool_]) -> Floats | None:
    """(4,) xyxy px around those (K,) of keypoints (K,2); None where they are fewer than `LEAST_FRAMING`."""
    if those.sum() < LEAST_FRAMING:
        return None
    sure = keypoints[those]
    return np.concatenate([sure.min(axis=0), sure.max(axis=0)])
