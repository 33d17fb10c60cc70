"""Where are the keypoints in heatmaps?"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import Peak
from rtmpose_sdk.decode_simcc import Decoded
from rtmpose_sdk.errors import EngineError

Floats = NDArray[np.float32]

_BLUR = cv2.getGaussianKernel(5, 0, cv2.CV_32F).ravel()
_AROUND = np.arange(-4, 5)
"""Cells around a peak that its smoothed 5 x 5 neighbours need."""
_SMOOTHING = np.stack([np.pad(_BLUR, (i, 4 - i)) for i in range(5)])
"""(5,9): times a patch of 9 cells it gives 5 smoothed ones."""
_LEAST = 1e-10
_LARGEST_SHIFT = 1.0
"""Cells by which a peak's place between the cells may differ from the highest cell."""
_WINDOW = 2
"""Half width, in cells, of the window around a peak whose mass is the confidence."""


def decode_heatmap(maps: Floats, input_size: tuple[int, int], udp: bool, peak: Peak = "dark") -> Decoded:
    """Highest cell of each map, moved to the peak between the cells.

    "dark" goes to the peak of the Gaussian through its neighbours: a Newton step on the logarithm of the
    smoothed map (DARK, Zhang et al. 2020, section 3.2). "quarter" goes a quarter of a cell towards the
    higher neighbour, along each axis.

    Args:
        maps: (N,K,h,w), 0 where there is nothing.
        input_size: (width, height) px of the network's input.
        udp: how cells and px belong together, see `ModelCard.heatmap_udp`.
        peak: how the peak between the cells is found.

    Returns:
        Keypoints in px of the input. A score is the height of the peak. A confidence is the part of a
        map's positive mass that lies within two cells of the peak, times the height up to 1: in 0...1.

    Raises:
        EngineError: a map holds NaN or infinity.
    """
    persons, names, height, width = maps.shape
    if not np.isfinite(maps).all():
        raise EngineError(
            "the network's output holds NaN or infinity: the artifact or its precision is broken on "
            "this device; export it in fp32"
        )
    flat = np.ascontiguousarray(maps, np.float32).reshape(-1, height, width)
    index = flat.reshape(len(flat), height * width).argmax(axis=1)
    rows, columns = np.divmod(index, width)
    peaks = flat[np.arange(len(flat)), rows, columns]
    cells = np.stack([columns, rows], axis=1).astype(np.float32)
    cells += (_quarters if peak == "quarter" else _shifts)(flat, rows, columns)
    if udp:
        factors = (np.array(input_size) - 1) / np.maximum(np.array([width, height]) - 1, 1)
    else:
        factors = np.array(input_size) / np.array([width, height])
    mass = _mass(flat, rows, columns) * np.clip(peaks, 0, 1)
    return Decoded(
        (cells * factors).astype(np.float32).reshape(persons, names, 2),
        peaks.reshape(persons, names),
        mass.reshape(persons, names),
    )


def _shifts(flat: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """(R,2) cells from the highest cell to the peak; 0 at the border and where there is no peak."""
    _, height, width = flat.shape
    shifts = np.zeros((len(flat), 2), np.float32)
    inner = np.flatnonzero((columns > 1) & (columns < width - 2) & (rows > 1) & (rows < height - 2))
    # Only 5 x 5 smoothed cells are needed of each map; at its border it is mirrored.
    near_rows = _mirrored(rows[inner, None] + _AROUND, height)
    near_columns = _mirrored(columns[inner, None] + _AROUND, width)
    patches = flat[inner[:, None, None], near_rows[:, :, None], near_columns[:, None]]
    logs = np.log(np.maximum(_SMOOTHING @ patches @ _SMOOTHING.T, _LEAST))
    slope_x = (logs[:, 2, 3] - logs[:, 2, 1]) / 2
    slope_y = (logs[:, 3, 2] - logs[:, 1, 2]) / 2
    xx = (logs[:, 2, 4] - 2 * logs[:, 2, 2] + logs[:, 2, 0]) / 4
    yy = (logs[:, 4, 2] - 2 * logs[:, 2, 2] + logs[:, 0, 2]) / 4
    xy = (logs[:, 3, 3] - logs[:, 1, 3] - logs[:, 3, 1] + logs[:, 1, 1]) / 4
    determinant = xx * yy - xy * xy
    peaked = (determinant > 0) & (xx < 0)
    shift = np.stack([xy * slope_y - yy * slope_x, xy * slope_x - xx * slope_y], axis=1)[peaked]
    shift /= determinant[peaked, None]
    shifts[inner[peaked]] = np.clip(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT)
    return shifts


def _mirrored(places: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Places beyond an axis of `count` cells, inside: the border's cell is not repeated."""
    inside: NDArray[np.intp] = count - 1 - np.abs(count - 1 - np.abs(places))
    return inside


def _quarters(flat: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """(R,2) cells, a quarter or 0; 0 at the border."""
    _, height, width = flat.shape
    every = np.arange(len(flat))
    left, right = (flat[every, rows, np.clip(columns + d, 0, width - 1)] for d in (-1, 1))
    above, below = (flat[every, np.clip(rows + d, 0, height - 1), columns] for d in (-1, 1))
    inner = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
    shifts = np.sign(np.stack([right - left, below - above], axis=1)) * inner[:, None]
    quarters: Floats = (0.25 * shifts).astype(np.float32)
    return quarters


def _mass(flat: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """(R,) part of each map's positive mass that lies near its highest cell."""
    positive = np.pad(np.clip(flat, 0, None), ((0, 0), (_WINDOW, _WINDOW), (_WINDOW, _WINDOW)))
    offsets = np.arange(2 * _WINDOW + 1)
    near = positive[
        np.arange(len(flat))[:, None, None],
        rows[:, None, None] + offsets[None, :, None],
        columns[:, None, None] + offsets[None, None],
    ].sum(axis=(1, 2))
    part: Floats = (near / np.maximum(positive.sum(axis=(1, 2)), _LEAST)).astype(np.float32)
    return part
