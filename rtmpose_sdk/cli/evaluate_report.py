"""`rtmpose eval`: what is said of a measurement, in the terminal and as JSON?"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from rtmpose_sdk.cli.evaluate_asked import Asked, posed_in
from rtmpose_sdk.cli.evaluate_details import finite, print_calibration, print_distances, print_keypoints
from rtmpose_sdk.cli.evaluate_measure import Measured, Poses


def print_report(console: Console, asked: Asked, measured: Measured) -> dict[str, Any]:
    """The figures and the details that were asked for; the same for JSON."""
    _print_figures(console, asked, measured)
    content = {
        **finite(measured.report.figures),
        "pictures": measured.report.pictures,
        "persons": measured.report.persons,
        "missing": measured.missing,
        "settings": _settings(asked, measured),
    }
    if measured.poses is not None:
        content.update(_print_details(console, asked, measured.poses))
    return content


def _print_figures(console: Console, asked: Asked, measured: Measured) -> None:
    report, missing = measured.report, measured.missing
    table = Table("figure", "value")
    for name, value in report.figures.items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    what = (
        f"{report.persons} boxes of {asked.detector}"
        if asked.boxes_only
        else f"{report.persons} persons, {posed_in(asked.detector)}, "
        f"flip test {'on' if asked.flip_test else 'off'}"
    )
    # Names of files may hold brackets, which are no markup.
    console.print(f"{report.pictures} pictures, {what}", markup=False, soft_wrap=True)
    if missing:
        gone = f"{len(missing)} pictures are missing: {', '.join(missing)}"
        console.print(gone, markup=False, soft_wrap=True)


def _settings(asked: Asked, measured: Measured) -> dict[str, Any]:
    """What was measured, on what, and how, as JSON has it."""
    runtime = measured.runtime
    return {
        "annotations": str(asked.annotations),
        "images": str(asked.images),
        "pose": None if asked.boxes_only else asked.pose,
        "detector": asked.detector,
        "detector size": asked.size,
        "of": "boxes" if asked.boxes_only else f"keypoints, {posed_in(asked.detector)}",
        "engine": runtime.engine,
        "device": str(runtime.device),
        "precision": runtime.precision,
        "threads": runtime.threads,
        "flip test": asked.flip_test,
        "detection threshold": asked.threshold if asked.detector and not asked.boxes_only else None,
        "single person": asked.alone,
        "processes": asked.processes,
        "batch": asked.batch,
    }


def _print_details(console: Console, asked: Asked, poses: Poses) -> dict[str, Any]:
    persons, names = poses.persons, poses.keypoint_set.names
    content: dict[str, Any] = {}
    if asked.per_keypoint:
        content["keypoints"] = print_keypoints(console, persons, names)
    if asked.distances or asked.normalize_by:
        content["distances"] = print_distances(console, persons, names, asked.normalize_by)
    if asked.calibration or asked.reliability:
        content["calibration"] = print_calibration(console, persons)
    return content
