"""Crop and letterbox in standard ONNX operators, on the picture's own bytes.

Bilinear samples on a grid whose rows share y and whose columns share x. Only the four px around each
sample are gathered: nothing touches the whole picture, whatever its size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.onnx_graph import OnnxGraph, Value

RESIZE_STEPS = 2048.0
"""OpenCV's resize rounds the shares of two px to so many steps, and cuts off twice on the way."""
NUDGE = 2.0**-20
WARP_STEPS = 32.0
"""OpenCV's warpAffine knows this many places between two px."""


class Picture(NamedTuple):
    """All levels (H*W*3,) of the picture, uint8, B, G, R of each px; and its sizes (1,) int64."""

    levels: Value
    height: Value
    width: Value


class CroppedBoxes(NamedTuple):
    """(N,h,w,3) uint8 BGR; scales (N,1) and origins x, y (N,1): crop px * scale + origin = picture px."""

    images: Value
    scale: Value
    x: Value
    y: Value


class Letterboxed(NamedTuple):
    """(1,h,w,3) uint8 BGR, and (1,4) factors from its px to the picture's."""

    images: Value
    factors: Value


def picture_input(g: OnnxGraph) -> Picture:
    """Declare the input `image`."""
    image = g.input("image", "uint8", ["height", "width", 3])
    height, width = g.sizes(image, (0, 1))
    return Picture(g.op("Reshape", image, [-1]), height, width)


def crop(g: OnnxGraph, picture: Picture, boxes: Value, card: ModelCard) -> CroppedBoxes:
    """What `rtmpose_sdk.geometry.crop_boxes` does; black outside.

    Args:
        g: the graph.
        picture: from `picture_input`.
        boxes: (N,4) xyxy px, valid.
        card: input size, padding.
    """
    width, height = card.input_size
    x1, y1, x2, y2 = g.columns(g.cast(boxes, "float64"), 1, 4)
    larger = g.op(
        "Max",
        g.op("Div", g.op("Sub", x2, x1), np.float64(width)),
        g.op("Div", g.op("Sub", y2, y1), np.float64(height)),
    )
    scale = g.op("Mul", larger, np.float64(card.bbox_padding))
    origins = []
    for first, second, side in ((x1, x2, width), (y1, y2, height)):
        middle = g.op("Mul", g.op("Add", first, second), np.float64(0.5))
        origins.append(g.op("Sub", middle, g.op("Mul", scale, np.float64(side / 2))))
    x, y = origins
    across = _axis(g, _warped(g, scale, x, width), picture.width)
    down = _axis(g, _warped(g, scale, y, height), picture.height)
    return CroppedBoxes(_sample(g, picture, across, down), *(g.cast(v, "float32") for v in (scale, x, y)))


def letterbox(g: OnnxGraph, picture: Picture, card: ModelCard) -> Letterboxed:
    """What `rtmpose_sdk.geometry.letterbox` does: at the top left, aspect kept, filled with grey."""
    limits = np.array(card.input_size, np.float32)
    full = g.op("Concat", g.cast(picture.width, "float32"), g.cast(picture.height, "float32"), axis=0)
    ratio = g.op("ReduceMin", g.op("Div", limits, full), keepdims=1)
    wanted = g.op("Floor", g.op("Add", g.op("Mul", full, ratio), 0.5))
    new = g.op("Max", g.op("Min", wanted, limits), 1.0)
    factors = g.op("Div", full, new)
    exact = g.op("Div", g.cast(full, "float64"), g.cast(new, "float64"))
    axes = []
    for i, (side, size) in enumerate(zip(card.input_size, (picture.width, picture.height), strict=True)):
        places = g.op(
            "Slice", np.arange(side, dtype=np.float64) + 0.5, [0], g.cast(_at(g, new, i), "int64"), [0]
        )
        # Samples stand in the middle of their px; beyond the first and the last there is only the edge.
        where = g.op("Sub", g.op("Mul", places, _at(g, exact, i)), np.float64(0.5))
        last = g.op("Sub", _at(g, full, i), 1.0)
        where = g.op("Min", g.op("Max", g.cast(where, "float32"), 0.0), last)
        axes.append(_axis(g, g.op("Unsqueeze", where, [0]), size, RESIZE_STEPS))
    sampled = _sample(g, picture, axes[0], axes[1], resized=True)
    free = g.cast(g.op("Sub", _sides(g, new, card), new), "int64")
    right, below = _at(g, free, 0), _at(g, free, 1)
    pads = g.op("Concat", [0, 0, 0, 0, 0], below, right, [0], axis=0)
    canvas = g.op("Pad", sampled, pads, np.array(card.pad_value, np.uint8))
    return Letterboxed(canvas, g.op("Unsqueeze", g.op("Concat", factors, factors, axis=0), [0]))


def _sides(g: OnnxGraph, new: Value, card: ModelCard) -> Value | NDArray[np.float32]:
    """Width and height (2,) of the canvas for a picture of the size `new`."""
    limits, step = np.array(card.input_size, np.float32), card.letterbox_step
    if step is None:
        return limits
    steps = g.op("Ceil", g.op("Div", new, float(step)))
    return g.op("Min", g.op("Mul", steps, float(step)), limits)


def _at(g: OnnxGraph, value: Value, index: int) -> Value:
    """(1,) of a vector."""
    return g.op("Gather", value, [index])


class _Axis(NamedTuple):
    """The two px of each sample along one axis (N,n) int32, and their shares (N,n), 0 outside."""

    first: Value
    second: Value
    first_share: Value
    second_share: Value


def _warped(g: OnnxGraph, scale: Value, origin: Value, count: int) -> Value:
    """(N,count) float32 px of the picture: the places that OpenCV's warpAffine takes, a 32nd of a px apart.

    It rounds both terms to 1/1024 px first.
    """
    fine = np.float64(WARP_STEPS * WARP_STEPS)
    terms = [
        g.op("Round", g.op("Mul", g.op("Mul", scale, fine), np.arange(count, dtype=np.float64)[None])),
        g.op("Round", g.op("Mul", origin, fine)),
    ]
    steps = g.op("Add", g.op("Add", *terms), np.float64(WARP_STEPS / 2))
    steps = g.op("Floor", g.op("Div", steps, np.float64(WARP_STEPS)))
    return g.cast(g.op("Div", steps, np.float64(WARP_STEPS)), "float32")


def _axis(g: OnnxGraph, places: Value, size: Value, steps: float = 0.0) -> _Axis:
    """Of places (N,n) px; shares are rounded to `steps` of a px, where it is not 0."""
    last = g.op("Sub", g.cast(size, "float32"), 1.0)
    first = g.op("Floor", places)
    second = g.op("Add", first, 1.0)
    share = g.op("Sub", places, first)
    made = []
    for at, weight in ((first, g.op("Sub", 1.0, share)), (second, share)):
        if steps:
            weight = g.op("Div", g.op("Round", g.op("Mul", weight, steps)), steps)
        nearest = g.op("Min", g.op("Max", at, 0.0), last)
        inside = g.cast(g.op("Equal", nearest, at), "float32")
        made.append((g.cast(nearest, "int32"), g.op("Mul", weight, inside)))
    return _Axis(made[0][0], made[1][0], made[0][1], made[1][1])


def _sample(g: OnnxGraph, picture: Picture, across: _Axis, down: _Axis, *, resized: bool = False) -> Value:
    """(N,h,w,3) uint8 grey levels, rounded as OpenCV's warpAffine, or its resize, rounds.

    Each colour of each px is fetched by itself: GatherElements does that in a loop of the engine's own,
    Gather copies px by px through the C library and takes twice as long.
    """
    stride = g.op("Mul", g.cast(picture.width, "int32"), np.int32(3))
    colours = np.arange(3, dtype=np.int32)
    columns, shares = [], []
    for column, share in ((across.first, across.first_share), (across.second, across.second_share)):
        first = g.op("Unsqueeze", g.op("Mul", column, np.int32(3)), [-1])
        columns.append(g.op("Reshape", g.op("Add", first, colours), [0, 1, -1]))  # (N,1,3w)
        if resized:  # in 16ths of 1 / 2048
            share = g.op("Mul", share, RESIZE_STEPS / 16)
        wide = g.op("Expand", g.op("Unsqueeze", share, [-1]), [1, 1, 3])
        shares.append(g.op("Reshape", wide, [0, 1, -1]))
    lines = []
    for row, row_share in ((down.first, down.first_share), (down.second, down.second_share)):
        starts = g.op("Unsqueeze", g.op("Mul", row, stride), [-1])  # (N,h,1)
        parts = []
        for column, share in zip(columns, shares, strict=True):
            index = g.op("Add", starts, column)  # (N,h,3w)
            values = g.op("GatherElements", picture.levels, g.op("Reshape", index, [-1]))
            values = g.op("Reshape", g.cast(values, "float32"), g.op("Shape", index))
            parts.append(g.op("Mul", values, share))
        line = g.op("Add", *parts)
        if resized:  # in quarters of a level
            line = g.op("Floor", line)
            row_share = g.op("Mul", row_share, RESIZE_STEPS / 2**16)
        line = g.op("Mul", line, g.op("Unsqueeze", row_share, [-1]))
        lines.append(g.op("Floor", line) if resized else line)
    # One operator that rounds, limits and casts. It rounds halves to even, OpenCV rounds them up: a nudge
    # below the smallest step between two results settles it.
    step = np.float32(4 * (1 - NUDGE) if resized else 1 - NUDGE)
    levels = g.op("QuantizeLinear", g.op("Add", *lines), step, np.array(0, np.uint8))
    return g.op("Reshape", levels, [0, 0, -1, 3])
