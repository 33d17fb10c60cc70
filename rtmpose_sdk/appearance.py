"""What somebody wears: colours between shoulders and hips, and between hips and knees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.keypoint_sets import KeypointSet

Floats = NDArray[np.float32]

_TORSO = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
_THIGHS = ("left_hip", "left_knee", "right_hip", "right_knee")
PARTS = 2
LEAST_CONFIDENCE = 0.3
"""Of all keypoints of a part, for its colour to be taken."""
TOLERANCE = 35.0
"""Grey levels by which the colour of one's clothes changes as one turns and walks through shadows."""


def _weights(names: tuple[str, ...], rows: dict[str, int], places: list[list[float]]) -> Floats:
    """(P,K): each place as a weighted mean of keypoints."""
    made = np.zeros((len(places), len(rows)), np.float32)
    for name, column in zip(names, np.array(places, np.float32).T, strict=True):
        made[:, rows[name]] = column
    return made


def unknown_looks(count: int) -> Floats:
    """(N,2,3) NaN: of persons whose clothes nobody looked at."""
    return np.full((count, PARTS, 3), np.nan, np.float32)


class Wardrobe:
    """Looks up the clothes of the persons in a picture.

    Args:
        keypoint_set: that of the poses; one without shoulders, hips and knees tells nothing.
    """

    def __init__(self, keypoint_set: KeypointSet) -> None:
        rows = {name: i for i, name in enumerate(keypoint_set.names)}
        self._known = set(_TORSO) | set(_THIGHS) <= set(rows)
        if not self._known:
            return
        across, down = np.meshgrid(np.linspace(0.2, 0.8, 4), np.linspace(0.1, 0.8, 5))
        torso = [
            [(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v]
            for u, v in zip(across.ravel().tolist(), down.ravel().tolist(), strict=True)
        ]
        along = np.linspace(0.2, 0.8, 8).tolist()
        thighs = [[1 - t, t, 0.0, 0.0] for t in along] + [[0.0, 0.0, 1 - t, t] for t in along]
        self._places = np.concatenate([_weights(_TORSO, rows, torso), _weights(_THIGHS, rows, thighs)])
        self._split = len(torso)
        self._needed = [[rows[n] for n in names] for names in (_TORSO, _THIGHS)]

    def __call__(self, picture: NDArray[np.uint8], keypoints: Floats, confidences: Floats) -> Floats:
        """Mean BGR colours (N,2,3), grey levels, of torso and thighs; NaN where they are not seen.

        Args:
            picture: (H,W,3) uint8 BGR.
            keypoints, confidences: (N,K,2) px, (N,K).
        """
        looks = unknown_looks(len(keypoints))
        if not self._known or not len(keypoints):
            return looks
        places = np.einsum("pk,nkc->npc", self._places, keypoints)
        places = np.where(np.isfinite(places), places, 0).round().astype(np.intp)
        x = places[..., 0].clip(0, picture.shape[1] - 1)
        y = places[..., 1].clip(0, picture.shape[0] - 1)
        colours = picture[y, x].astype(np.float32)
        for part, (values, needed) in enumerate(
            zip((colours[:, : self._split], colours[:, self._split :]), self._needed, strict=True)
        ):
            seen = (confidences[:, needed] >= LEAST_CONFIDENCE).all(axis=1)
            looks[seen, part] = values[seen].mean(axis=1)
        return looks


def alikeness(ours: Floats, theirs: Floats) -> Floats:
    """(T,N), 0...1, of looks (T,2,3) and (N,2,3): 1 is the same clothes, or not known."""
    apart = np.sqrt(((ours[:, None] - theirs[None]) ** 2).mean(axis=3))  # (T,N,2)
    alike = np.exp(-0.5 * (apart / np.float32(TOLERANCE)) ** 2)
    known = np.isfinite(alike)
    total = np.where(known, alike, 0).sum(axis=2)
    mean: Floats = np.where(known.any(axis=2), total / np.maximum(known.sum(axis=2), 1), 1)
    return mean.astype(np.float32)


def blended(old: Floats, new: Floats, share: float) -> Floats:
    """Looks (2,3) with `share` of what is seen now; a part that only one of them knows is taken from it."""
    mixed = (1 - share) * old + share * new
    return np.where(np.isnan(mixed), np.where(np.isnan(old), new, old), mixed).astype(np.float32)
