"""`rtmpose eval`: what is left behind, in files and in the card?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rtmpose_sdk.cli.evaluate_asked import Asked, posed_in
from rtmpose_sdk.cli.evaluate_card import Place, accuracy_name, write_accuracy
from rtmpose_sdk.cli.evaluate_details import plot_reliability
from rtmpose_sdk.cli.evaluate_measure import Measured, Poses
from rtmpose_sdk.images import write_bytes, write_image

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.accuracy import Report


def write_all(console: Console, asked: Asked, measured: Measured, content: dict[str, Any]) -> None:
    """Figures before pictures: a plot that fails must not cost them.

    Args:
        console: is told what the card has.
        asked, measured: what for, and what came out.
        content: of the JSON file.

    Raises:
        InputError: the card is to be written, and there is no figure.
        OutputError: something cannot be written.
    """
    if asked.results_file is not None:
        write_bytes(asked.results_file, json.dumps(measured.report.results).encode())
    if asked.json_file is not None:
        write_bytes(asked.json_file, json.dumps(content, indent=1).encode())
    if measured.place is not None:
        _write_card(console, asked, measured.report, measured.place)
    if measured.poses is not None:
        _write_pictures(asked, measured.poses)


def _write_card(console: Console, asked: Asked, report: Report, place: Place) -> None:
    """The first figure, named after how it was measured."""
    figure = next(iter(report.figures))
    name = accuracy_name(figure, asked.annotations, report.pictures, *conditions_of(asked))
    write_accuracy(place, name, report.figures[figure])
    console.print(f"{place.path}: its card has {name}", markup=False, soft_wrap=True)


def conditions_of(asked: Asked) -> list[str]:
    """What a figure depends on beside the pictures, in words."""
    detector = asked.detector and Path(asked.detector).name  # no folder of this machine
    conditions = ["person boxes" if asked.boxes_only else posed_in(detector)]
    if asked.detector is not None and not asked.boxes_only:  # box AP takes all, as COCO does
        conditions.append(f"detection threshold {asked.threshold:g}")
    if asked.size:
        width, height = asked.size
        conditions.append(f"pictures up to {width}x{height}")
    if asked.flip_test:
        conditions.append("flip test")
    if asked.alone:
        conditions.append("single persons")
    if asked.precision:
        conditions.append(asked.precision)
    return conditions


def _write_pictures(asked: Asked, poses: Poses) -> None:
    if asked.reliability is not None:
        plot_reliability(poses.persons, asked.reliability)
    if asked.worst is not None:
        from rtmpose_sdk.benchmarks.worst import worst_sheet

        count, sheet = asked.worst
        write_image(sheet, worst_sheet(poses.persons, count, asked.images, poses.keypoint_set))
