"""How does the native program's report read in the words of `rtmpose-bench`?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.latency import Latency, summarize
from rtmpose_sdk.benchmarks.machine import NOISY, noise
from rtmpose_sdk.card import ModelCard

PART = 50
"""Runs at the beginning and at the end that are set against each other."""
THROTTLED = 1.1
"""A device is called throttled where its last runs take so many times as long as the first."""


def adb_report(
    card: ModelCard,
    files: tuple[Path, Path],
    found: dict[str, Any],
    serial: str,
    picture: str,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """One of `--json`'s reports.

    Args:
        card, files: of the model.
        found: the native program's report, with `keypoints`.
        serial: the device.
        picture: its name and size.
        values: of the options of `rtmpose-bench`, by name.
    """
    took, used = found["ns"], found["cpu_ns"]
    figures = {"bare engine": summarize(took, used)}
    parted = len(took) >= 2 * PART
    if parted:
        figures[f"first {PART} runs"] = summarize(took[:PART], used[:PART])
        figures[f"last {PART} runs"] = summarize(took[-PART:], used[-PART:])
    first, last = list(figures.values())[-2:] if parted else (None, None)
    threads, precision = found["threads"], found["precision"]
    return {
        "name": f"{files[0].name}, ncnn, {precision}, {threads} thread{'s' * (threads > 1)}, 1 person",
        "setting": {
            "sdk": __version__,
            "engine": f"ncnn {found['ncnn']}",
            "device": f"adb:{serial}",
            "precision": found["precision"],
            "threads": threads,
            "batch": 1,
            "pose": f"{card.name} ({files[0].name})",
            "detector": None,
            "persons": 1,
            "picture": picture,
            "warm_up": values["warm_up"],
            "runs": len(took),
            f"last {PART} / first {PART} runs": round(last.p50 / first.p50, 3) if first and last else None,
        },
        "artifact": {
            "size MB": sum(file.stat().st_size for file in files) / 1e6,
            "load ms": found["load_ns"] / 1e6,
            "multiply-adds": None,
            "accuracy": dict(card.accuracy),
            "input size": list(card.input_size),
        },
        "ms": {step: latency.as_dict() for step, latency in figures.items()},
        "keypoints": found["keypoints"],
        "memory": found["peak_memory_kb"] / 1024,
    }


def judged(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Spread, and what to say of it; the spread of a throttled device is its throttling."""
    spread = noise(Latency(**report["ms"]["bare engine"]) for report in reports)
    slower = {
        report["name"]: ratio
        for report in reports
        if (ratio := report["setting"][f"last {PART} / first {PART} runs"]) is not None
        and ratio > THROTTLED
    }
    said = [
        f"throttled: the last {PART} runs of {name} took {ratio:.2f} x the time of the first {PART}; let "
        "the device cool down, and expect the slower figure where it works for long"
        for name, ratio in slower.items()
    ]
    if spread > NOISY and not slower:
        said.append(f"noisy device: the p90 is {spread:.0%} above the median (quiet: below {NOISY:.0%})")
    return {"spread": spread, "noise warning": "; ".join(said)}
