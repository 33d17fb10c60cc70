"""Where will a box be? A constant-velocity Kalman filter in seconds and in units of the box's size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

ACCELERATION = 1.5
"""Spectral density of the white-noise acceleration, body sizes² / s³."""
FIRST_SPEED = 1.0
"""Standard deviation of the speed of a person seen once, body sizes / s."""
SPEED_MEMORY = 8.0
"""Seconds after which a speed is forgotten; matters only while nothing is measured."""


class BoxMotion:
    """Centre, width and height of one box, and the velocity of its centre.

    The four numbers share one 2x2 covariance, as they are measured together with one noise; it is in
    units of the box's size (square root of its area), so that near and far people are alike.

    Args:
        box: (4,) xyxy px.
        noise: standard deviation of the measurement in body sizes.
    """

    def __init__(self, box: NDArray[np.float32], noise: float) -> None:
        self._value = _centre_form(box)
        self._speed: Doubles = np.zeros(4)
        self._p = (noise**2, 0.0, FIRST_SPEED**2)  # variance, covariance, variance of the speed

    @property
    def size(self) -> float:
        """Square root of the area, px."""
        return max(math.sqrt(max(self._value[2] * self._value[3], 0.0)), 1.0)

    @property
    def velocity(self) -> Doubles:
        """(2,) px / s of the centre."""
        return self._speed[:2]

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) xyxy px."""
        x, y, w, h = self._value.tolist()
        w, h = max(w, 1.0), max(h, 1.0)
        return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2], np.float32)

    def predict(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._value = self._value + self._speed * seconds
        self._speed = self._speed * math.exp(-seconds / SPEED_MEMORY)
        a, b, c = self._p
        q = ACCELERATION
        self._p = (
            a + 2 * b * seconds + c * seconds**2 + q * seconds**3 / 3,
            b + c * seconds + q * seconds**2 / 2,
            c + q * seconds,
        )

    def update(self, box: NDArray[np.float32], noise: float) -> None:
        """Take in a measured box (4,) xyxy px with a standard deviation of `noise` body sizes."""
        a, b, c = self._p
        total = a + noise**2
        gain, gain_speed = a / total, b / total
        sides, before = box.tolist(), self.box.tolist()
        x1, y1, x2, y2 = (now - then for now, then in zip(sides, before, strict=True))
        self._value = self._value + gain * (_centre_form(box) - self._value)
        # A side that is hidden, cut off or pushed out by an arm does not move as its person does.
        moved = np.array([_in_common(x1, x2), _in_common(y1, y2), 0.0, 0.0])
        self._speed = self._speed + gain_speed * moved
        self._p = ((1 - gain) * a, (1 - gain) * b, c - gain_speed * b)


def _in_common(low: float, high: float) -> float:
    """What the two sides of a box moved together."""
    return min(low, high, key=abs) if low * high > 0 else 0.0


def _centre_form(box: NDArray[np.float32]) -> Doubles:
    x1, y1, x2, y2 = box.tolist()
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
