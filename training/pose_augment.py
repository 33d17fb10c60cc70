"""How is a person's crop varied? (paper section 3.4, "two-stage training augmentations")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.training.persons import Floats

_LOWER_BODY = ("hip", "knee", "ankle", "heel", "toe", "foot")
HALF_BODY_LEAST = 9
"""Labelled keypoints below which a person is not halved, and 3 are needed in the half that is kept."""
_LUMA = np.array([0.114, 0.587, 0.299], np.float32)
"""Grey of B, G, R (ITU-R BT.601)."""


@dataclass(frozen=True)
class PoseAugmentation:
    """Strengths; every figure is of MMPose's published RTMPose configs where the paper gives none.

    Attributes:
        scale: range of the box's factor.
        rotation: largest turn in degrees, of a truncated normal with `rotation_probability`.
        shift: largest shift in parts of the box, with `shift_probability`.
        half_body: probability of keeping the upper or the lower half alone.
        flip: probability of a mirror image.
        hue, saturation, value: largest change, parts of 1 (hue: of a turn).
        cutout: probability of a hole of `cutout_size` (parts of the sides).
    """

    scale: tuple[float, float] = (0.6, 1.4)
    rotation: float = 80.0
    rotation_probability: float = 0.6
    shift: float = 0.16
    shift_probability: float = 0.3
    half_body: float = 0.3
    flip: float = 0.5
    hue: float = 0.014
    saturation: float = 0.3
    value: float = 0.3
    cutout: float = 1.0
    cutout_size: tuple[float, float] = (0.2, 0.4)


STRONG = PoseAugmentation()
WEAK = PoseAugmentation(shift_probability=0.0, cutout=0.5)
"""The last epochs: no shift, fewer holes."""
NONE = PoseAugmentation((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PoseSample:
    """What N crops are to look like.

    Attributes:
        matrices: (N,2,3), canvas px → input px.
        keypoints: (N,K,2) px of the input.
        weights: (N,K); 0 where a keypoint left the input.
        colors: (N,3,3) factors on B, G, R (a row per output channel).
        holes: (N,4) xyxy px, empty (0,0,0,0) where there is none.
    """

    matrices: Floats
    keypoints: Floats
    weights: Floats
    colors: Floats
    holes: NDArray[np.int64]


def sample_crops(
    rng: np.random.Generator,
    keypoints: Floats,
    weights: Floats,
    canvas: tuple[int, int],
    input_size: tuple[int, int],
    keypoint_set: KeypointSet,
    how: PoseAugmentation,
) -> PoseSample:
    """Draw what N crops are to look like.

    Args:
        rng: the only source of chance.
        keypoints: (N,K,2) px of the canvas.
        weights: (N,K).
        canvas, input_size: (width, height) px.
        keypoint_set: flip pairs, and names that tell the lower body.
        how: the strengths.
    """
    count = len(keypoints)
    width, height = input_size
    centers = np.tile(np.array([canvas[0] / 2, canvas[1] / 2]), (count, 1))
    sizes = np.ones(count)
    lower = np.array([any(part in name for part in _LOWER_BODY) for name in keypoint_set.names])
    for i in np.flatnonzero(rng.random(count) < how.half_body):
        half = _half_box(rng, keypoints[i], weights[i] > 0, lower, input_size)
        if half is not None:
            centers[i], sizes[i] = half
    shifted = rng.random(count) < how.shift_probability
    amounts = _truncated_normal(rng, (count, 2)) * how.shift * np.array([width, height])
    centers += amounts * (shifted * sizes)[:, None]
    low, high = how.scale
    sizes *= (low + high) / 2 + _truncated_normal(rng, count) * (high - low) / 2
    turned = rng.random(count) < how.rotation_probability
    angles = np.deg2rad(_truncated_normal(rng, count) * how.rotation * turned)
    flips = rng.random(count) < how.flip

    cos, sin = np.cos(angles) / sizes, np.sin(angles) / sizes
    linear = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
    offset = np.array([width / 2, height / 2]) - np.einsum("nij,nj->ni", linear, centers)
    matrices = np.concatenate([linear, offset[..., None]], axis=2)
    matrices[flips, 0] *= -1
    matrices[flips, 0, 2] += width - 1
    warped = np.einsum("nij,nkj->nki", matrices[..., :2], keypoints) + matrices[:, None, :, 2]
    order = np.array(keypoint_set.flip_indices)
    warped[flips], weights = warped[flips][:, order], weights.copy()
    weights[flips] = weights[flips][:, order]
    inside = ((warped >= 0) & (warped <= np.array([width - 1, height - 1]))).all(axis=2)
    return PoseSample(
        matrices.astype(np.float32),
        warped.astype(np.float32),
        weights * inside,
        _colors(rng, count, how),
        _holes(rng, count, input_size, how),
    )


def _truncated_normal(rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal numbers within -1...1."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 1).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values


def _half_box(
    rng: np.random.Generator,
    keypoints: Floats,
    labelled: NDArray[np.bool_],
    lower: NDArray[np.bool_],
    input_size: tuple[int, int],
) -> tuple[NDArray[np.float64], float] | None:
    """Center (2,) and size (1 is the whole person) of the upper or lower half; None where none is."""
    if labelled.sum() < HALF_BODY_LEAST:
        return None
    half = lower if rng.random() < 0.5 else ~lower
    points = keypoints[labelled & half]
    if len(points) < 3:
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    size = 1.5 * max((high - low) / np.array(input_size))
    return (low + high) / 2, max(float(size), 0.2)


def _colors(rng: np.random.Generator, count: int, how: PoseAugmentation) -> Floats:
    """(N,3,3): value, saturation and hue as one linear map; hue turns around the grey axis."""
    value = 1 + rng.uniform(-1, 1, count) * how.value
    saturation = 1 + rng.uniform(-1, 1, count) * how.saturation
    angle = rng.uniform(-1, 1, count) * how.hue * 2 * np.pi
    cos, sin = np.cos(angle), np.sin(angle) / np.sqrt(3)
    third = (1 - cos) / 3
    a, b, c = cos + third, third - sin, third + sin
    hue = np.stack([np.stack(r, -1) for r in ((a, b, c), (c, a, b), (b, c, a))], 1)
    grey = np.broadcast_to(_LUMA, (3, 3))
    mix = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * grey
    result: Floats = (value[:, None, None] * (mix @ hue)).astype(np.float32)
    return result


def _holes(
    rng: np.random.Generator, count: int, size: tuple[int, int], how: PoseAugmentation
) -> NDArray[np.int64]:
    sides = rng.uniform(*how.cutout_size, (count, 2)) * size
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(size) - sides)
    holes = np.concatenate([corners, corners + sides], axis=1).round().astype(np.int64)
    holes[rng.random(count) >= how.cutout] = 0
    return holes
