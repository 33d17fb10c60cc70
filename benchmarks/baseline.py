"""Is it slower than it was? Two reports of `rtmpose-bench` side by side."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from rtmpose_sdk.benchmarks.machine import differences
from rtmpose_sdk.benchmarks.stages import SKIPPING
from rtmpose_sdk.errors import InputError, OutputError

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
    "box",
)
"""What says that two reports are of the same thing; a new version of the engine or SDK is compared."""
PEER = "peer "
"""Before a peer's name: a step of its own, whose changes are not ours."""

Pair = tuple[dict[str, Any], dict[str, Any]]
"""A report now, and then."""


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


def read_baseline(path: Path, written: Iterable[tuple[str, Path | None]] = ()) -> dict[str, Any]:
    """A file that `rtmpose-bench --json` wrote.

    Args:
        path: the file.
        written: options and the files that they name: slower figures in the baseline's place would pass
            the next time.

    Raises:
        InputError: it cannot be read, or is something else.
        OutputError: it is one of those to be written.
    """
    for option, file in written:
        if file is not None and file.resolve() == path.resolve():
            raise OutputError(
                f"{file}: {option} would replace the baseline that --compare reads; give it another name"
            )
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no baseline, it cannot be read ({error})") from None
    if not isinstance(content, dict) or content.get("rtmpose_bench") != REPORT_VERSION:
        raise InputError(f"{path}: not a report of rtmpose-bench --json, version {REPORT_VERSION}")
    wrong = _wrong(content)
    if wrong:
        raise InputError(f"{path}: damaged, {wrong}; make a baseline with rtmpose-bench --json")
    return content


def check_machine(here: dict[str, Any], old: dict[str, Any], force: bool = False) -> None:
    """Raise InputError where a baseline is of another machine, and not forced."""
    apart = differences(here, old["machine"])
    if apart and not force:
        raise InputError(
            "the baseline is of another machine (baseline / here): "
            f"{'; '.join(apart)}. Make one here with --json, or compare nevertheless with --force"
        )


def pairs(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[Pair]:
    """Reports of the same thing, now and then. Only `setting` and `artifact` of each are read.

    Files of one name are told apart by their folders; where these say nothing, the first is compared with
    the first, if there are as many.

    Raises:
        InputError: nothing in common.
    """
    before, after = _by_key(old), _by_key(new)
    found = [pair for key, ours in after.items() for pair in _paired(ours, before.get(key, []))]
    if not found:
        raise InputError(
            "the baseline holds nothing that is measured now: give the same models, engines, threads, "
            "batch, persons, picture and box as then"
        )
    return found


def unpaired(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Names of what only one side has: of `new` and of `old`; see `pairs`, which says what it raises."""
    found = pairs(new, old)
    paired = {id(report) for pair in found for report in pair}
    left = [[str(r.get("name", "?")) for r in side if id(r) not in paired] for side in (new, old)]
    return left[0], left[1]


def compare(new: dict[str, Any], old: dict[str, Any], force: bool = False) -> list[Change]:
    """Every step that both have.

    Raises:
        InputError: of another machine and not forced; or nothing in common.
    """
    check_machine(new["machine"], old, force)
    changes = [
        Change(report["name"], step, then["ms"][step][figure], took[figure], figure)
        for report, then in pairs(new["reports"], old["reports"])
        for step, took in report["ms"].items()
        if step in then["ms"]
        for figure in [_figure(step)]
    ]
    if not changes:
        raise InputError("the baseline holds no step that was measured now; make another one with --json")
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


def _figure(step: str) -> str:
    return "mean" if step.startswith(SKIPPING) else "p50"


def _wrong(content: dict[str, Any]) -> str | None:
    """What a report lacks to be compared with."""
    if not isinstance(content.get("machine"), dict):
        return "it does not say the machine"
    reports = content.get("reports")
    if not isinstance(reports, list) or not reports:
        return "it holds no reports"
    for number, report in enumerate(reports, 1):
        setting = report.get("setting") if isinstance(report, dict) else None
        if not isinstance(setting, dict):
            return f"report {number} has no setting"
        for name in ("engine", "pose"):
            if not isinstance(setting.get(name), str) or not setting[name].strip():
                return f"report {number} does not name its {name}"
        if not isinstance(report.get("ms"), dict):
            return f"report {number} has no figures (ms)"
        for step, took in report["ms"].items():
            value: Any = took.get(_figure(step)) if isinstance(took, dict) else None
            if type(value) not in (int, float) or not 0 < value < math.inf:
                return f"report {number}, {step}: its {_figure(step)} is {value!r}, expected ms above 0"
    return None


def _by_key(reports: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Reports by what they are of."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in reports:
        setting = dict(report["setting"])
        setting["engine"] = setting["engine"].split()[0]
        found[json.dumps([setting.get(name) for name in SAME_CANDIDATE])].append(report)
    return found


def _paired(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[Pair]:
    """Those of the same file; the rest in order, if both sides have as many left."""
    found, left, rest = [], list(old), []
    for report in new:
        same = next((then for then in left if _same_file(report, then)), None)
        if same is None:
            rest.append(report)
        else:
            left.remove(same)
            found.append((report, same))
    return found + (list(zip(rest, left, strict=True)) if len(rest) == len(left) else [])


def _same_file(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Does one's file end with the other's, folders and all?"""
    ours, theirs = _file(one), _file(other)
    shared = min(len(ours), len(theirs))
    return shared > 0 and ours[-shared:] == theirs[-shared:]


def _file(report: dict[str, Any]) -> tuple[str, ...]:
    """The network's file with its folders; empty where the report does not say it."""
    artifact = report.get("artifact")
    named = artifact.get("file") if isinstance(artifact, dict) else None
    return PurePosixPath(named).parts if isinstance(named, str) else ()
