"""CrowdPose's figures: AP of easy, medium and hard pictures (Li et al. 2019, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtmpose_sdk.benchmarks.coco_score import score
from rtmpose_sdk.errors import InputError

EASY, HARD = 0.2, 0.8
"""Crowd indices: below the first a picture is easy, above the second hard. The paper's text draws the first
line at 0.1; its own evaluation code, and so what is published, at 0.2."""


def is_crowdpose(truth: dict[str, Any]) -> bool:
    """Whether pictures carry a crowd index."""
    return any("crowdIndex" in row for row in truth["images"])


def check_crowd(truth: dict[str, Any], file: Path) -> None:
    """Every picture has a crowd index.

    Raises:
        InputError: not so.
    """
    without = [row["id"] for row in truth["images"] if not isinstance(row.get("crowdIndex"), int | float)]
    if without:
        raise InputError(
            f"{file}: {len(without)} of {len(truth['images'])} pictures have no crowdIndex (the first: "
            f"{without[0]}); expected a number 0...1 each"
        )


def crowdpose_figures(
    truth: dict[str, Any], results: list[dict[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    """AP and AR, and AP by crowd index; -1 where there is no such picture."""
    figures = score(truth, results, "keypoints", sigmas)
    figures = {name: figures[name] for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")}
    crowds = {row["id"]: row["crowdIndex"] for row in truth["images"]}
    for name, ids in {
        "easy": {i for i, crowd in crowds.items() if crowd < EASY},
        "medium": {i for i, crowd in crowds.items() if EASY <= crowd <= HARD},
        "hard": {i for i, crowd in crowds.items() if crowd > HARD},
    }.items():
        figures[f"AP {name}"] = score(truth, results, "keypoints", sigmas, ids)["AP"] if ids else -1.0
    return figures
