"""How is a picture varied for the detector? Mosaic, mix-up, scale, flip, colour (RTMDet, section 3.4).

A mosaic of four pictures, its random scale and the crop from it are one affine map for each picture,
so that only pixels which are seen are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.training.persons import Floats

PAD = 114
LEAST_VISIBLE = 0.2
"""Part of a box that must be inside the crop for it to be a person to find; below, no loss there."""
LEAST_SIDE = 3.0
"""Px of the input below which a person is not looked for."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class DetectorAugmentation:
    """Strengths; figures are of MMDetection's published RTMDet-tiny config.

    Attributes:
        mosaic, mixup: probabilities.
        scale: range of the factor on a picture that fits the input (a mosaic's: on its quarters' double).
        flip: probability of a mirror image.
        hue, saturation, value: largest change; hue in degrees of 180, others in levels of 255.
    """

    mosaic: float = 1.0
    mixup: float = 0.5
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    hue: float = 5.0
    saturation: float = 30.0
    value: float = 30.0


STRONG = DetectorAugmentation()
WEAK = DetectorAugmentation(mosaic=0.0, mixup=0.0)
"""The last epochs: whole pictures, still scaled and mirrored."""


class Labelled(NamedTuple):
    """A picture (H,W,3) uint8 BGR, boxes (n,4) of persons and (m,4) of regions without loss, xyxy px."""

    image: Image
    boxes: Floats
    ignored: Floats


def vary(
    rng: np.random.Generator,
    first: int,
    partner: Callable[[], int],
    load: Callable[[int], Labelled],
    side: tuple[int, int],
    how: DetectorAugmentation,
) -> Labelled:
    """One input for the detector.

    Args:
        rng: the only source of chance.
        first: number of the picture.
        partner: draws the number of another picture, for mosaic and mix-up.
        load: a picture by its number.
        side: (width, height) px of the input.
        how: the strengths.
    """
    if rng.random() < how.mosaic:
        made = _mosaic(rng, [load(i) for i in (first, partner(), partner(), partner())], side, how)
    else:
        made = _single(rng, load(first), side, how)
    made = _colored(rng, _flipped(rng, made, how), how)
    if rng.random() < how.mixup:
        other = _flipped(rng, _single(rng, load(partner()), side, how), how)
        made = Labelled(
            cv2.addWeighted(made.image, 0.5, other.image, 0.5, 0).astype(np.uint8),
            np.concatenate([made.boxes, other.boxes]),
            np.concatenate([made.ignored, other.ignored]),
        )
    return made


def _mosaic(
    rng: np.random.Generator,
    parts: list[Labelled],
    side: tuple[int, int],
    how: DetectorAugmentation,
) -> Labelled:
    """Four pictures around a point of a canvas of twice the side, scaled, and a crop of that."""
    width, height = side
    meet = rng.uniform(0.5, 1.5, 2) * side
    scale = rng.uniform(*how.scale)
    room = np.maximum(2 * np.array(side) * scale - side, 0)
    origin = rng.uniform(0, 1, 2) * room
    out = np.full((height, width, 3), PAD, np.uint8)
    boxes: list[tuple[NDArray[np.float64], ...]] = []
    ignored: list[tuple[NDArray[np.float64], ...]] = []
    for i, part in enumerate(parts):
        right, below = i % 2, i // 2
        h, w = part.image.shape[:2]
        fit = min(width / w, height / h)
        corner = meet - np.array([w * fit * (not right), h * fit * (not below)])
        low = np.where([right, below], meet, 0)
        high = np.where([right, below], 2 * np.array(side), meet)
        low, high = np.maximum(low, corner), np.minimum(high, corner + np.array([w, h]) * fit)
        _place(out, part, fit * scale, corner * scale - origin, low * scale - origin, high * scale - origin)
        for kept, source in ((boxes, part.boxes), (ignored, part.ignored)):
            moved = source * np.float32(fit * scale) + np.tile(corner * scale - origin, 2)
            limits = np.concatenate([low, low]), np.concatenate([high, high])
            kept.append((moved, *(limit * scale - np.tile(origin, 2) for limit in limits)))
    return _kept(out, boxes, ignored)


def _single(
    rng: np.random.Generator, part: Labelled, side: tuple[int, int], how: DetectorAugmentation
) -> Labelled:
    """One picture that fits the input, scaled, at a random place."""
    width, height = side
    h, w = part.image.shape[:2]
    scale = min(width / w, height / h) * rng.uniform(*how.scale)
    spare = np.array(side) - np.array([w, h]) * scale
    # A smaller picture lies anywhere inside, of a larger one any part is seen.
    corner = rng.uniform(0, 1, 2) * spare
    out = np.full((height, width, 3), PAD, np.uint8)
    end = corner + np.array([w, h]) * scale
    _place(out, part, scale, corner, corner, end)
    limits = np.tile(corner, 2), np.tile(end, 2)
    return _kept(
        out,
        [(part.boxes * np.float32(scale) + np.tile(corner, 2), *limits)],
        [(part.ignored * np.float32(scale) + np.tile(corner, 2), *limits)],
    )


def _place(
    out: Image,
    part: Labelled,
    scale: float,
    corner: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    """Draw a picture, scaled, with its (0,0) at `corner`, into the region low...high of `out`."""
    limit = np.array([out.shape[1], out.shape[0]])
    x1, y1 = np.clip(np.round(low), 0, limit).astype(int)
    x2, y2 = np.clip(np.round(high), 0, limit).astype(int)
    if x2 <= x1 or y2 <= y1:
        return
    # Edges of px scale as boxes do, so their centers move by half a px more: what cv2.resize does, too.
    offset = corner - (x1, y1) + (scale - 1) / 2
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    out[y1:y2, x1:x2] = cv2.warpAffine(
        part.image, matrix, (int(x2 - x1), int(y2 - y1)), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _kept(
    out: Image,
    boxes: list[tuple[NDArray[np.float64], ...]],
    ignored: list[tuple[NDArray[np.float64], ...]],
) -> Labelled:
    """Boxes clipped to where their picture is seen; those that are hardly seen become ignored."""
    size = np.array([out.shape[1], out.shape[0]] * 2, np.float64)
    persons: list[NDArray[np.float64]] = []
    regions: list[NDArray[np.float64]] = []
    for group, is_person in ((boxes, True), (ignored, False)):
        for moved, low, high in group:
            clipped = np.clip(moved, np.maximum(low, 0), np.minimum(np.maximum(high, 0), size))
            inner = clipped[:, 2:] - clipped[:, :2]
            whole = (moved[:, 2:] - moved[:, :2]).prod(axis=1)
            seen = inner.prod(axis=1) / np.maximum(whole, 1e-6)
            there = (inner > 0).all(axis=1)
            good = there & (seen >= LEAST_VISIBLE) & (inner >= LEAST_SIDE).all(axis=1) & is_person
            persons.append(clipped[good])
            regions.append(clipped[there & ~good])
    return Labelled(
        out,
        np.concatenate(persons).astype(np.float32).reshape(-1, 4),
        np.concatenate(regions).astype(np.float32).reshape(-1, 4),
    )


def _flipped(rng: np.random.Generator, made: Labelled, how: DetectorAugmentation) -> Labelled:
    if rng.random() >= how.flip:
        return made
    width = made.image.shape[1]

    def mirrored(boxes: Floats) -> Floats:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    return Labelled(np.ascontiguousarray(made.image[:, ::-1]), mirrored(made.boxes), mirrored(made.ignored))


def _colored(rng: np.random.Generator, made: Labelled, how: DetectorAugmentation) -> Labelled:
    hue, saturation, value = rng.uniform(-1, 1, 3) * (how.hue, how.saturation, how.value)
    levels = np.arange(256)
    tables = np.stack(
        [
            (np.arange(256) + round(hue)) % 180,
            np.clip(levels + saturation, 0, 255),
            np.clip(levels + value, 0, 255),
        ],
        axis=-1,
    ).astype(np.uint8)[None]
    hsv = cv2.LUT(cv2.cvtColor(made.image, cv2.COLOR_BGR2HSV), tables)
    return made._replace(image=np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8))
