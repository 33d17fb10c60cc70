"""`rtmpose eval`: COCO keypoint AP of the artifact that is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtmpose_sdk.cli.options import DetectorOption, DeviceOption, Pose, Threads, limit_opencv
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD, Pipeline
from rtmpose_sdk.zoo import DEFAULT_POSE


def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO keypoint annotations (json).")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    pose: Pose = DEFAULT_POSE,
    detector: DetectorOption = None,
    device: DeviceOption = "cpu",
    threads: Threads = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="Average with the mirrored crop.")] = False,
    detection_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of a person box.")
    ] = DEFAULT_DETECTION_THRESHOLD,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure COCO AP and AR, with ground-truth boxes or through a detector."""
    from rtmpose_sdk.benchmarks.accuracy import evaluate_pipeline
    from rtmpose_sdk.images import write_bytes

    limit_opencv(threads)
    with (
        Pipeline(
            pose, detector, device, threads, None, detection_threshold, flip_test=flip_test
        ) as pipeline,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        report = evaluate_pipeline(pipeline, annotations, images, lambda pictures: progress.track(pictures))
    table = Table("figure", "value")
    for name, value in report.figures.items():
        table.add_row(name, f"{value:.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"{report.pictures} pictures, {report.persons} persons, "
        f"{'boxes of ' + detector if detector else 'ground-truth boxes'}, "
        f"flip test {'on' if flip_test else 'off'}",
        soft_wrap=True,
    )
    if json_file is not None:
        write_bytes(json_file, json.dumps(report.figures, indent=1).encode())
