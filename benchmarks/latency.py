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
    """Milliseconds of one step, runs per second by the mean, and how many runs were measured.

    Attributes:
        cpu: processor time of the whole process in one run, all its threads, ms.
    """

    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    std: float
    fps: float
    cpu: float
    runs: int

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def summarize(nanoseconds: Any, cpu: Any = ()) -> Latency:
    """Figures of measured runs, given in ns; `cpu` is the processor time of the same runs."""
    times = np.asarray(nanoseconds, np.float64) / 1e6
    p50, p90, p99 = np.percentile(times, [50, 90, 99])
    mean = float(times.mean())
    used = float(np.mean(cpu)) / 1e6 if len(cpu) else float("nan")
    return Latency(
        mean,
        float(times.min()),
        float(p50),
        float(p90),
        float(p99),
        float(times.std()),
        1000 / mean,
        used,
        len(times),
    )


SPINNING = 0.05
"""s for which ONNX Runtime's idle threads may spin after a call, by default: 36 ms were seen. Programs that
leave it so take cores from what runs next in the same process."""


@dataclass(frozen=True)
class OwnClock:
    """A step that says itself how long it took, s: by the events of a GPU."""

    step: Callable[[], float]

    def __call__(self) -> float:
        """Run it."""
        return self.step()


def measure(
    steps: Mapping[str, Callable[[], object]],
    warm_up: int = WARM_UP_RUNS,
    runs: int = MEASURED_RUNS,
    before: Callable[[str], object] | None = None,
    rest: float = 0.0,
    after_round: Callable[[int], object] = lambda rounds: None,
    keep_cut: bool = True,
) -> dict[str, Latency]:
    """Time several steps, interleaved run by run, so that a drifting machine hurts all alike.

    Every other round goes the other way round, so that none always follows the same neighbour.

    Args:
        steps: what to time, by name.
        warm_up, runs: rounds that do not count, and rounds that do.
        before: called with a step's name ahead of it, outside its time.
        rest: s of sleep ahead of each step, outside its time; see `SPINNING`.
        after_round: called with the number of rounds done, those that do not count among them.
        keep_cut: Ctrl-C in a measured round ends it with what there is; False raises it: for who goes on
            with the figures.

    Returns:
        Figures of every step. After Ctrl-C in a measured round: of the rounds so far, `runs` says how many.

    Raises:
        InputError: fewer than one measured run.
        KeyboardInterrupt: before anything was measured, or not `keep_cut`.
    """
    if runs < 1 or warm_up < 0:
        raise InputError(f"{warm_up} warm-up and {runs} measured runs; expected 0 or more, 1 or more")
    names = list(steps)
    times: dict[str, list[int]] = {name: [] for name in names}
    used: dict[str, list[int]] = {name: [] for name in names}
    clock, processor = time.perf_counter_ns, time.process_time_ns
    try:
        for turn in range(warm_up + runs):
            for name in names if turn % 2 else reversed(names):
                step = steps[name]
                if rest:
                    time.sleep(rest)
                if before is not None:
                    before(name)
                used_before = processor()
                start = clock()
                told = step()
                took = clock() - start
                if isinstance(step, OwnClock):
                    took = round(1e9 * float(told))  # type: ignore[arg-type]
                if turn >= warm_up:
                    times[name].append(took)
                    used[name].append(processor() - used_before)
            after_round(turn + 1)
    except KeyboardInterrupt:
        if not keep_cut or not all(times.values()):
            raise
    return {name: summarize(times[name], used[name]) for name in names}
