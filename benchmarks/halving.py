"""Which of many candidates are worth measuring for longer? Successive halving and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from rtmpose_sdk.benchmarks.latency import measure

Key = TypeVar("Key", bound=Hashable)
Step = Callable[[], object]
Told = Callable[[Mapping[str, float]], object]
"""Is given the medians, ms, of every round that was measured whole."""

FIRST_RUNS = 4
MARGIN = 1.15
"""A candidate that is slower by less than this after a few runs may be the faster one after all."""


class Point(NamedTuple):
    """What a candidate costs: ms, and what it loses in AP points."""

    ms: float
    loss: float


def halve(
    steps: Mapping[str, Step], keep: int, runs: int = FIRST_RUNS, told: Told = lambda _: None
) -> dict[str, float]:
    """The `keep` fastest of several steps, with their medians in ms, fastest first.

    Every round measures the survivors interleaved, twice as often as the round before, and drops the
    slower half (Jamieson and Talwalkar, 2016, section 2).

    Raises:
        KeyboardInterrupt: Ctrl-C; a round that was cut short chooses nobody.
    """
    left = dict(steps)
    while True:
        found = measure(left, 1, runs, keep_cut=False)
        told({name: found[name].p50 for name in left})
        order = sorted(left, key=lambda name: found[name].p50)
        if len(order) <= keep:
            return {name: found[name].p50 for name in order}
        left = {name: left[name] for name in order[: max(keep, len(order) // 2)]}
        runs *= 2


def halve_to_front(
    steps: Mapping[str, Step], losses: Mapping[str, float], runs: int, told: Told = lambda _: None
) -> dict[str, Point]:
    """Points of the candidates that may lie on the Pareto front, measured `runs` times each.

    Rounds of 1, 2, 4, ... runs, interleaved; after each, who is clearly dominated is dropped.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    left = dict(steps)
    done = 1
    while True:
        done = min(done, runs)
        found = measure(left, 1, done, keep_cut=False)
        told({name: found[name].p50 for name in left})
        points = {name: Point(found[name].p50, losses[name]) for name in left}
        if done == runs:
            return points
        left = {
            name: left[name]
            for name in left
            if not any(_dominates(points[other], points[name], MARGIN) for other in left)
        }
        done *= 2


def pareto(points: Mapping[str, Point]) -> list[str]:
    """Candidates that no other beats in both, fastest first; of equal ones, the first."""
    order = sorted(points, key=lambda name: points[name])
    front: list[str] = []
    for name in order:
        if not front or points[name].loss < points[front[-1]].loss:
            front.append(name)
    return front


def choose(points: Mapping[str, Point], max_ms: float | None, max_loss: float | None) -> str | None:
    """The best within the limits; None where none fits.

    With a limit on the loss the fastest is best; with one on the time alone, the most accurate.
    """
    able = [
        name
        for name, point in points.items()
        if (max_ms is None or point.ms <= max_ms) and (max_loss is None or point.loss <= max_loss)
    ]
    by_loss: Sequence[str] = sorted(able, key=lambda n: (points[n].loss, points[n].ms))
    by_ms: Sequence[str] = sorted(able, key=lambda n: points[n])
    best = by_loss if max_loss is None else by_ms
    return best[0] if best else None


def _dominates(a: Point, b: Point, margin: float) -> bool:
    return a.ms * margin < b.ms and a.loss <= b.loss
