"""How calm and how late is the One-Euro filter? Signals with known truth.

Run it with `python -m rtmpose_sdk.benchmarks.smoothing`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.smoothing import OneEuro, Smoothing

Doubles = NDArray[np.float64]

SECONDS = 6.0
NOISE = 0.01
"""Standard deviation of a measured keypoint, body sizes."""
SWING_HERTZ, SWING_REACH = 1.5, 0.35
"""A fast arm swing: so often a second, so many body sizes to either side (3.3 body sizes / s at most)."""


def _filtered(settings: Smoothing, signal: Doubles, fps: float, size: float) -> Doubles:
    smooth, sure = OneEuro(settings), np.ones(1, np.float32)
    return np.array(
        [smooth(np.array([[x, 0]], np.float32), sure, i / fps, size)[0, 0] for i, x in enumerate(signal)]
    )


def jitter_left(settings: Smoothing, fps: float, size: float) -> float:
    """Frame-to-frame movement of a person at rest, after the filter / before it."""
    count = round(SECONDS * fps)
    raw = np.random.default_rng(0).normal(0, NOISE * size, count)
    calm = _filtered(settings, raw, fps, size)
    first = round(fps)
    return float(np.diff(calm[first:]).std() / np.diff(raw[first:]).std())


def swing_lag(settings: Smoothing, fps: float, size: float) -> float:
    """Seconds by which a fast arm swing comes late: the shift that fits the true signal best."""
    time = np.arange(round(SECONDS * fps)) / fps
    reach = SWING_REACH * size
    noise = np.random.default_rng(1).normal(0, NOISE * size, len(time))
    calm = _filtered(settings, reach * np.sin(2 * np.pi * SWING_HERTZ * time) + noise, fps, size)
    lags = np.arange(0, 0.2, 0.001)
    first = round(fps)
    late = reach * np.sin(2 * np.pi * SWING_HERTZ * (time[None, first:] - lags[:, None]))
    return float(lags[np.argmin(np.square(late - calm[first:]).mean(axis=1))])


def main() -> None:
    """Print the table."""
    table = Table("fps", "body size, px", "jitter left", "lag of a swing, ms")
    for fps in (15.0, 30.0, 60.0):
        for size in (60.0, 600.0):
            jitter, lag = jitter_left(Smoothing(), fps, size), swing_lag(Smoothing(), fps, size)
            table.add_row(f"{fps:g}", f"{size:g}", f"{jitter:.2f}", f"{1000 * lag:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
