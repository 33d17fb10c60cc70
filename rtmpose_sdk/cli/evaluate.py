"""`rtmpose eval`: COCO AP of the artifact that is deployed, of keypoints or of boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtmpose_sdk.cli.options import (
    DetectorOption,
    DeviceOption,
    EngineOption,
    Pose,
    PrecisionOption,
    Threads,
    limit_opencv,
)
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD, Pipeline
from rtmpose_sdk.zoo import DEFAULT_POSE

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.accuracy import Report


def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO keypoint annotations (json).")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    pose: Pose = DEFAULT_POSE,
    detector: DetectorOption = None,
    device: DeviceOption = "cpu",
    threads: Threads = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="Average with the mirrored crop.")] = False,
    detection_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of a person box.")
    ] = DEFAULT_DETECTION_THRESHOLD,
    boxes_only: Annotated[
        bool, typer.Option("--boxes-only", help="Box AP of the detector instead of keypoint AP.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure COCO AP and AR, with ground-truth boxes or through a detector."""
    from rtmpose_sdk.benchmarks.accuracy import LEAST_SCORE
    from rtmpose_sdk.images import write_bytes

    limit_opencv(threads)
    if boxes_only and detector is None:
        raise InputError("--boxes-only measures a detector; name it with --detector")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if boxes_only:
            assert detector is not None
            finder = Detector(detector, device, threads, precision, LEAST_SCORE, engine)
            report = _boxes(finder, annotations, images, progress)
        else:
            pipeline = Pipeline(
                pose,
                detector,
                device,
                threads,
                precision,
                detection_threshold,
                flip_test=flip_test,
                engine=engine,
            )
            report = _keypoints(pipeline, annotations, images, progress)
    table = Table("figure", "value")
    for name, value in report.figures.items():
        table.add_row(name, f"{value:.3f}")
    console = Console()
    console.print(table)
    what = (
        f"{report.persons} boxes of {detector}"
        if boxes_only
        else f"{report.persons} persons, "
        f"{'boxes of ' + detector if detector else 'ground-truth boxes'}, "
        f"flip test {'on' if flip_test else 'off'}"
    )
    console.print(f"{report.pictures} pictures, {what}", soft_wrap=True)
    if json_file is not None:
        write_bytes(json_file, json.dumps(report.figures, indent=1).encode())


def _keypoints(pipeline: Pipeline, annotations: Path, images: Path, progress: Progress) -> Report:
    from rtmpose_sdk.benchmarks.accuracy import evaluate_pipeline

    with pipeline:
        return evaluate_pipeline(pipeline, annotations, images, lambda rows: progress.track(rows))


def _boxes(detector: Detector, annotations: Path, images: Path, progress: Progress) -> Report:
    from rtmpose_sdk.benchmarks.accuracy import evaluate_detector

    with detector:
        return evaluate_detector(detector, annotations, images, lambda rows: progress.track(rows))
