"""How long does a step take? The paper's protocol (A.2): warm-up runs, then measured runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtmpose_sdk.errors import InputError

WARM_UP_RUNS = 50
MEASURED_RUNS = 200


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one step, and runs per second by the mean."""

    mean: float
    p50: float
    p90: float
    p99: float
    fps: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def summarize(nanoseconds: Any) -> Latency:
    """Figures of measured runs, given in ns."""
    times = np.asarray(nanoseconds, np.float64) / 1e6
    p50, p90, p99 = np.percentile(times, [50, 90, 99])
    mean = float(times.mean())
    return Latency(mean, float(p50), float(p90), float(p99), 1000 / mean)


def measure(
    steps: Mapping[str, Callable[[], object]],
    warm_up: int = WARM_UP_RUNS,
    runs: int = MEASURED_RUNS,
) -> dict[str, Latency]:
    """Time several steps, interleaved run by run, so that a drifting machine hurts all alike.

    Every other round goes the other way round, so that none always follows the same neighbour.

    Raises:
        InputError: fewer than one measured run.
    """
    if runs < 1 or warm_up < 0:
        raise InputError(f"{warm_up} warm-up and {runs} measured runs; expected 0 or more, 1 or more")
    names = list(steps)
    times: dict[str, list[int]] = {name: [] for name in names}
    clock = time.perf_counter_ns
    for turn in range(warm_up + runs):
        for name in names if turn % 2 else reversed(names):
            step = steps[name]
            start = clock()
            step()
            took = clock() - start
            if turn >= warm_up:
                times[name].append(took)
    return {name: summarize(values) for name, values in times.items()}
