"""What does a report of `rtmpose-bench` hold?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtmpose_sdk.benchmarks.baseline import REPORT_VERSION
from rtmpose_sdk.benchmarks.candidates import Candidate
from rtmpose_sdk.benchmarks.latency import Latency
from rtmpose_sdk.benchmarks.machine import NOISY, noise, peak_memory

FEWEST_RUNS = 10
"""From which on a p90 is one that was measured, and not read between the largest two."""
_ENGINES_OWN = ("bare engine", "detector, bare engine")


def report_content(
    machine: dict[str, Any],
    candidates: list[Candidate],
    found: list[dict[str, Latency]],
    peaks: dict[int, float],
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """What `--json` writes.

    Args:
        machine: see `machine_record`.
        candidates, found: what was timed, and the figures of its steps.
        peaks: GFLOP/s of a matrix product by threads, of this CPU.
        left_out: combinations that cannot be had, with the reasons.
    """
    reports = []
    for candidate, figures in zip(candidates, found, strict=True):
        artifact = candidate.artifact
        if artifact["multiply-adds"] is not None:
            artifact["GFLOP/s"] = 2 * artifact["multiply-adds"] / figures["bare engine"].p50 / 1e6
        # numpy's product says nothing of what another device could do.
        on_cpu = candidate.setting["device"] == "cpu"
        artifact["peak GFLOP/s"] = peaks[candidate.setting["threads"]] if on_cpu else None
        candidate.setting["runs"] = figures["bare engine"].runs
        reports.append(
            {
                "name": candidate.name,
                "setting": candidate.setting,
                "artifact": artifact,
                "ms": {name: took.as_dict() for name, took in figures.items()},
            }
        )
    spread = noise(figures[name] for figures in found for name in _ENGINES_OWN if name in figures)
    runs = min(figures["bare engine"].runs for figures in found)
    few = f"{runs} measured runs: too few to tell noise, p90 and p99; give {FEWEST_RUNS} or more"
    noisy = (
        f"noisy machine: the engine's p90 is {spread:.0%} above its median (quiet: below {NOISY:.0%}); "
        "trust ratios of one run only"
    )
    warnings = [noisy] * (spread > NOISY) + [few] * (runs < FEWEST_RUNS)
    return {
        "rtmpose_bench": REPORT_VERSION,
        "machine": machine,
        "peak memory MB": peak_memory(),
        "left out": list(left_out),
        "spread": spread,
        "noise warning": "; ".join(warnings),
        "reports": reports,
    }
