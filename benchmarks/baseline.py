"""Is it slower than it was? Two reports of `rtmpose-bench` side by side."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

from rtmpose_sdk.benchmarks.machine import differences
from rtmpose_sdk.benchmarks.stages import SKIPPING
from rtmpose_sdk.errors import InputError

REPORT_VERSION = 1
SAME_CANDIDATE = (
    "pose",
    "engine",
    "precision",
    "device",
    "threads",
    "batch",
    "persons",
    "detector",
    "detector size",
    "picture",
)
"""What says that two reports are of the same thing; a new version of the engine or SDK is compared."""


class Change(NamedTuple):
    """A step's ms then and now, and by what part the new one is longer (negative: shorter).

    `figure` says which ms: the median, or the mean a frame where frames differ.
    """

    candidate: str
    step: str
    old: float
    new: float
    figure: str = "p50"

    @property
    def slower(self) -> float:
        """0.05: 5 % longer than before."""
        return self.new / self.old - 1


def read_baseline(path: Path) -> dict[str, Any]:
    """A file that `rtmpose-bench --json` wrote.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no baseline, it cannot be read ({error})") from None
    if not isinstance(content, dict) or content.get("rtmpose_bench") != REPORT_VERSION:
        raise InputError(f"{path}: not a report of rtmpose-bench --json, version {REPORT_VERSION}")
    return content


def compare(new: dict[str, Any], old: dict[str, Any], force: bool = False) -> list[Change]:
    """Every step that both have.

    Raises:
        InputError: of another machine and not forced; or nothing in common.
    """
    apart = differences(new["machine"], old["machine"])
    if apart and not force:
        raise InputError(
            "the baseline is of another machine (baseline / here): "
            f"{'; '.join(apart)}. Make one here with --json, or compare nevertheless with --force"
        )
    before = _by_key(old["reports"])
    changes = [
        Change(report["name"], step, before[key]["ms"][step][figure], took[figure], figure)
        for key, report in _by_key(new["reports"]).items()
        if key in before
        for step, took in report["ms"].items()
        if step in before[key]["ms"]
        for figure in ["mean" if step.startswith(SKIPPING) else "p50"]
    ]
    if not changes:
        raise InputError(
            "the baseline holds nothing that was measured now: give the same models, engines, threads, "
            "batch, persons and picture as then"
        )
    return changes


def parse_percent(text: str) -> float:
    """Read a share: "5%" → 0.05.

    Raises:
        InputError: not a percentage of 0 or more.
    """
    try:
        value = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"--fail-if-slower {text}; expected a percentage, for example 5%")
    return value


def _by_key(reports: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Reports by what they are of; of some of the same, the first is compared with the first."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for report in reports:
        setting = dict(report["setting"])
        setting["engine"] = setting["engine"].split()[0]
        key = tuple(setting.get(name) for name in SAME_CANDIDATE)
        times = next(n for n in itertools.count() if (*key, n) not in found)
        found[(*key, times)] = report
    return found
