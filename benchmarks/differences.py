"""How far are two networks' raw outputs apart, and how many of them are no numbers?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtmpose_sdk.benchmarks.shifts import Outputs


class Difference(NamedTuple):
    """Largest and mean difference of an output / the first network's largest value of it."""

    largest: float
    mean: float


class OutputDifferences:
    """Differences, gathered run by run.

    Attributes:
        not_finite: number of NaN and infinite values of the first network and of the second.
    """

    def __init__(self) -> None:
        self.not_finite = (0, 0)
        self._largest: dict[str, float] = {}
        self._total: dict[str, float] = {}
        self._count: dict[str, int] = {}
        self._scale: dict[str, float] = {}

    def add(self, want: Outputs, have: Outputs) -> bool:
        """Lay the outputs of one run beside each other.

        Args:
            want, have: by name, of the same shapes (see `alike`); the first one's names are read.

        Returns:
            True where all values are finite. Where one is not, the difference is infinite.
        """
        broken = [sum(int((~np.isfinite(side[name])).sum()) for name in want) for side in (want, have)]
        self.not_finite = (self.not_finite[0] + broken[0], self.not_finite[1] + broken[1])
        for name, values in want.items():
            good = np.isfinite(values)
            whole = bool(good.all() and np.isfinite(have[name]).all())
            difference = np.abs(have[name] - values) if whole else np.array([np.inf])
            self._largest[name] = max(self._largest.get(name, 0.0), float(difference.max(initial=0.0)))
            self._total[name] = self._total.get(name, 0.0) + float(difference.sum(dtype=np.float64))
            self._count[name] = self._count.get(name, 0) + values.size
            scale = float(np.abs(values[good]).max(initial=0.0))
            self._scale[name] = max(self._scale.get(name, 0.0), scale)
        return not any(broken)

    def by_output(self) -> dict[str, Difference]:
        """The figures of each output; nothing where nothing was laid beside."""
        return {
            name: Difference(
                _ratio(self._largest[name], scale), _ratio(self._total[name], scale * self._count[name])
            )
            for name, scale in self._scale.items()
        }


def alike(want: Outputs, have: Outputs) -> bool:
    """True where the outputs have the same names and shapes."""
    return want.keys() == have.keys() and all(have[n].shape == v.shape for n, v in want.items())


def _ratio(value: float, scale: float) -> float:
    if scale == 0:
        return 0.0 if value == 0 else float("inf")
    return value / scale
