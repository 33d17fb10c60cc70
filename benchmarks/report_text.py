"""How does a report read in a terminal and in Markdown?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from rtmpose_sdk.benchmarks.machine import said
from rtmpose_sdk.benchmarks.peers import FILE_PEERS

COLUMNS = ("mean", "min", "p50", "p90", "p99", "std", "fps", "cpu")
_TITLES = ("ms", *COLUMNS, "x bare")


def rows(report: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """A step's name, its figures, and its median by that of the engine's own call."""
    found = report["ms"]
    for name, took in found.items():
        bare = found["detector, bare engine" if name.startswith("detector") else "bare engine"]
        whole = name.startswith(("pipeline", "peer", "read", "draw", "track"))
        cells = (f"{took[key]:.1f}" if key == "fps" else f"{took[key]:.3f}" for key in COLUMNS)
        yield (name, *cells, "" if whole else f"{took['p50'] / bare['p50']:.3f}")


def table(report: dict[str, Any]) -> Table:
    """For a terminal."""
    made = Table(*_TITLES)
    for cells in rows(report):
        made.add_row(*cells)
    return made


def setting_line(report: dict[str, Any]) -> str:
    """What was run, in one line."""
    return ", ".join(f"{k} {v}" for k, v in report["setting"].items() if v is not None)


def artifact_line(report: dict[str, Any]) -> str:
    """Size, time to load, work, and the distance to the machine's limit."""
    about = report["artifact"]
    both = "both networks " if report["setting"]["detector"] else ""
    text = f"artifact {about['size MB']:.1f} MB, {both}loaded in {about['load ms']:.0f} ms"
    if about.get("memory MB") is not None:
        text += f", {about['memory MB']:.0f} MB of memory"
    if about["multiply-adds"] is None:
        return text + ", multiply-adds unknown (only of ONNX files, with the extra export)"
    text += f", {about['multiply-adds'] / 1e9:.3f} G multiply-adds: {about['GFLOP/s']:.1f} GFLOP/s"
    peak = about["peak GFLOP/s"]
    return (
        text if peak is None else f"{text}, {about['GFLOP/s'] / peak:.0%} of a matrix product's {peak:.1f}"
    )


def share_lines(report: dict[str, Any]) -> list[str]:
    """What the engine's own calls are of the whole, by medians; the rest is ours."""
    found, lines = report["ms"], []
    if "predictor" in found:
        share = found["bare engine"]["p50"] / found["predictor"]["p50"]
        lines.append(f"network: {share:.1%} of the predictor's time")
    same = report["setting"].get("persons found") == report["setting"]["persons"]
    if "pipeline" in found and same:
        engines = found["bare engine"]["p50"] + found["detector, bare engine"]["p50"]
        lines.append(f"networks: {engines / found['pipeline']['p50']:.1%} of the pipeline's time")
    return lines


def persons_lines(report: dict[str, Any]) -> list[str]:
    """What the pipeline was timed on, where that is not what was asked for."""
    wanted = report["setting"].get("persons")
    lines = []
    for name, found in report["setting"].items():
        who, _, peer = name.partition(" by ")
        if who == "persons found" and found != wanted:
            of = f"peer {peer}" if peer else "pipeline"
            lines.append(
                f"{of}: finds {found} persons in this picture, and is timed on these, not on {wanted}"
            )
    return lines


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    return ", ".join(f"{key} {said(value)}" for key, value in machine.items() if value is not None)


def peer_lines(report: dict[str, Any]) -> list[str]:
    """How many times as long as ours each peer takes, by medians of the same run."""
    lines = []
    for name, took in report["ms"].items():
        ours = FILE_PEERS.get(name.removeprefix("peer "), "pipeline")
        if name.startswith("peer") and ours in report["ms"]:
            lines.append(f"{name}: {took['p50'] / report['ms'][ours]['p50']:.3f} x the time of {ours}")
    return lines


def report_lines(report: dict[str, Any]) -> list[str]:
    """All that is said of one candidate beside its table."""
    shares = share_lines(report) + peer_lines(report)
    return [setting_line(report), artifact_line(report), *persons_lines(report), *shares]


def run_lines(content: dict[str, Any]) -> list[str]:
    """The machine, memory, and what was left out."""
    lines = [machine_line(content["machine"])]
    if content["peak memory MB"]:
        lines.append(f"peak resident memory, all candidates: {content['peak memory MB']:.0f} MB")
    return lines + [f"left out: {reason}" for reason in content.get("left out", ())]


def markdown(content: dict[str, Any]) -> str:
    """All reports."""
    lines = ["# rtmpose-bench", ""]
    for line in run_lines(content):
        lines += [line, ""]
    if content["noise warning"]:
        lines += [f"**{content['noise warning']}**", ""]
    for report in content["reports"]:
        lines += [f"## {report['name']}", ""]
        for line in report_lines(report):
            lines += [line, ""]
        lines += ["| " + " | ".join(_TITLES) + " |", "| --- " + "| ---: " * (len(_TITLES) - 1) + "|"]
        lines += ["| " + " | ".join(cells) + " |" for cells in rows(report)]
        lines += [""]
    return "\n".join(lines)
