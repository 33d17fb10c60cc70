"""Where are the keypoints in SimCC outputs, and how sure is the network?"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import EngineError

Floats = NDArray[np.float32]

SIMCC_SIGMA_DIVISOR = 4.0
"""sigma of the training labels is sqrt(bins) / 4: 4.9 and 5.66 for 384 and 512 bins (released models)."""
CONFIDENCE_WINDOW_SIGMAS = 2.0
"""Half width of the window around a peak whose probability is the confidence."""


class Decoded(NamedTuple):
    """Keypoints (N,K,2) in input px, scores (N,K), confidences (N,K), and depths (N,K) m or None."""

    keypoints: Floats
    scores: Floats
    confidences: Floats
    depths: Floats | None = None


def decode_simcc(simcc_x: Floats, simcc_y: Floats, split_ratio: float, beta: float) -> Decoded:
    """Arg-max of both axes (paper section 3.1).

    Args:
        simcc_x, simcc_y: (N,K,bins) of either axis, as the network gives them.
        split_ratio: bins per input px.
        beta: 1/tau of training; the softmax of beta * output is a probability.

    Returns:
        Keypoints in px of the network input. A score is the smaller of the two peaks, unbounded (the
        published rule). A confidence is the smaller of the two softmax masses within two sigma of the
        peak, in 0...1, at the temperature of training (section 3.4, eq. 5).

    Raises:
        EngineError: a peak is NaN or infinite.
    """
    persons, names, bins_x = simcc_x.shape
    bins_y = simcc_y.shape[-1]
    count = persons * names
    windows = _windows(count, bins_x, bins_y)
    # Both axes in one array, x above y, between margins that no window leaves: half as many calls.
    odds = np.full((2 * count, windows.width), -np.inf, np.float32)
    odds[:count, windows.margin : windows.margin + bins_x] = simcc_x.reshape(count, bins_x)
    odds[count:, windows.margin : windows.margin + bins_y] = simcc_y.reshape(count, bins_y)
    index = odds.argmax(axis=1)
    height = odds.max(axis=1)
    if not np.isfinite(height).all():
        raise EngineError(
            "the network's output holds NaN or infinity: the artifact or its precision is broken on "
            "this device; export it in fp32"
        )
    odds -= height[:, None]
    odds *= np.float32(beta)
    np.exp(odds, out=odds)
    near = odds.take((windows.starts + index)[:, None] + windows.offsets)
    near *= windows.inside
    mass = near.sum(axis=1) / odds.sum(axis=1)
    place = ((index - windows.margin) / split_ratio).astype(np.float32)
    shape = (2, persons, names)
    return Decoded(
        np.ascontiguousarray(place.reshape(shape).transpose(1, 2, 0)),
        height.reshape(shape).min(axis=0),
        np.minimum(mass, np.float32(1)).reshape(shape).min(axis=0),
    )


class _Windows(NamedTuple):
    """Where peaks' windows lie in an array (2R,width) of x rows above y rows, with margins.

    Attributes:
        width, margin: of a row, and of the empty cells on either side of it.
        starts: (2R,) flat index of each row's first cell.
        offsets: (O,) cells of the wider window, around the peak.
        inside: (2R,O) 1 where a cell belongs to the window of that row's axis, else 0.
    """

    width: int
    margin: int
    starts: NDArray[np.intp]
    offsets: NDArray[np.intp]
    inside: Floats


@functools.lru_cache(maxsize=64)
def _windows(count: int, bins_x: int, bins_y: int) -> _Windows:
    """The windows of `count` rows of either axis: two sigma to either side of a peak."""
    reach_x, reach_y = (
        math.ceil(CONFIDENCE_WINDOW_SIGMAS * math.sqrt(bins) / SIMCC_SIGMA_DIVISOR)
        for bins in (bins_x, bins_y)
    )
    margin = max(reach_x, reach_y)
    width = max(bins_x, bins_y) + 2 * margin
    offsets = np.arange(-margin, margin + 1)
    reach = np.repeat([reach_x, reach_y], count)[:, None]
    inside = (np.abs(offsets) <= reach).astype(np.float32)
    return _Windows(width, margin, np.arange(2 * count) * width, offsets, inside)
