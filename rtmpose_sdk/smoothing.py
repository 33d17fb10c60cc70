"""How does a jittering keypoint become calm without lagging? One-Euro filter (Casiez et al. 2012)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.values import is_number

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Smoothing:
    """Settings of the filter. Speeds are in body sizes per second, so that fps and distance do not matter.

    The defaults are measured: `python -m rtmpose_sdk.benchmarks.smoothing`.

    Attributes:
        min_cutoff: Hz, cutoff at rest; lower is calmer.
        beta: Hz per body size / s; higher lags less in motion.
        speed_cutoff: Hz, cutoff of the speed's own filter.
        trusted: confidence from which on a keypoint is believed; below, it pulls less.
        ignored: confidence at and below which it does not pull at all.
        patience: seconds after which a keypoint that was not seen begins anew where it is seen again.
    """

    min_cutoff: float = 0.7
    beta: float = 4.0
    speed_cutoff: float = 2.0
    trusted: float = 0.3
    ignored: float = 0.1
    patience: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            if not is_number(getattr(self, field.name)):
                raise InputError(f"{field.name} is {getattr(self, field.name)!r}; expected a finite number")
        if min(self.min_cutoff, self.speed_cutoff) <= 0 or min(self.beta, self.patience) < 0:
            raise InputError(f"{self}: cutoffs must be above 0 Hz, beta and patience at least 0")
        if not 0 <= self.ignored < self.trusted <= 1:
            raise InputError(f"{self}: expected 0 <= ignored < trusted <= 1")


DEFAULT_SMOOTHING = Smoothing()
"""Of every stream where nothing else is asked for."""


def check_smoothing(value: object) -> Smoothing | None:
    """Settings of a filter, or None.

    Raises:
        InputError: something else.
    """
    if value is None or isinstance(value, Smoothing):
        return value
    raise InputError(f"smoothing is {value!r:.60}; expected Smoothing(...), or None, which is off")


class OneEuro:
    """The filter of one person's keypoints.

    Args:
        settings: see `Smoothing`.
    """

    def __init__(self, settings: Smoothing) -> None:
        self.settings = settings
        self._time = -math.inf
        self._place: Doubles = np.empty((0, 2))
        self._speed: Doubles = self._place
        self._raw: Doubles = self._place
        self._seen: Doubles = np.empty(0)

    def __call__(
        self,
        keypoints: Floats,
        confidences: Floats,
        time: float,
        body_size: float,
        drift: Floats | Doubles | None = None,
    ) -> Floats:
        """Keypoints (K,2) px, made calm.

        Args:
            keypoints: (K,2) px.
            confidences: (K,) in 0...1. A keypoint that is not believed stays where it was, moved along
                with the person.
            time: seconds; later than the last call's.
            body_size: px, square root of the person's box area.
            drift: (2,) px / s of the person, for keypoints that are not seen.
        """
        if len(self._place) != len(keypoints):
            self._place, self._raw = keypoints.astype(np.float64), keypoints.astype(np.float64)
            self._speed = np.zeros_like(self._place)
            self._seen = np.where(confidences > self.settings.ignored, time, -math.inf)
            self._time = time
            return keypoints.copy()
        elapsed = time - self._time
        if elapsed <= 0:
            raise InputError(f"time {time} s is not after the last one, {self._time} s")
        self._time = time
        settings = self.settings
        trust = (confidences - settings.ignored) / (settings.trusted - settings.ignored)
        trust = np.clip(trust, 0, 1)[:, None]
        fresh = (trust[:, 0] > 0) & (time - self._seen > settings.patience)
        self._seen[trust[:, 0] > 0] = time
        if drift is not None:
            self._place = self._place + (1 - trust) * (np.asarray(drift, np.float64) * elapsed)
        measured_speed = (keypoints - self._raw) / (elapsed * body_size)
        self._raw = trust * keypoints + (1 - trust) * self._place
        gain = trust * _gain(settings.speed_cutoff, elapsed)
        self._speed = self._speed + gain * (measured_speed - self._speed)
        speed = np.sqrt(np.square(self._speed).sum(axis=1, keepdims=True))
        gain = trust * _gain(settings.min_cutoff + settings.beta * speed, elapsed)
        self._place = self._place + gain * (keypoints - self._place)
        if fresh.any():
            self._place[fresh] = self._raw[fresh] = keypoints[fresh]
            self._speed[fresh] = 0
        return self._place.astype(np.float32)


def _gain(cutoff: float | Doubles, seconds: float) -> Doubles:
    """Share of a new value in a low-pass filter of `cutoff` Hz after `seconds`."""
    turn = 2 * math.pi * seconds * np.asarray(cutoff)
    gain: Doubles = turn / (turn + 1)
    return gain
