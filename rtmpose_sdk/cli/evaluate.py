"""`rtmpose eval`: COCO AP of the artifact that is deployed, of keypoints or of boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtmpose_sdk.cli.evaluate_asked import Asked, check_options
from rtmpose_sdk.cli.evaluate_measure import measure
from rtmpose_sdk.cli.evaluate_report import print_report
from rtmpose_sdk.cli.evaluate_write import write_all
from rtmpose_sdk.cli.options import (
    DetectorSize,
    DeviceOption,
    EngineOption,
    Pose,
    PrecisionOption,
    Threads,
    detector_meant,
    detector_option,
    limit_opencv,
    to_file,
)
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.predictor import DEFAULT_BATCH_LIMIT
from rtmpose_sdk.zoo import DEFAULT_POSE


def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO keypoint annotations (json).")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    pose: Pose = DEFAULT_POSE,
    detector: Annotated[str | None, detector_option("the boxes of the annotations")] = None,
    detector_size: DetectorSize = None,
    device: DeviceOption = "cpu",
    threads: Threads = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="Average with the mirrored crop.")] = False,
    detection_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help=f"Least score of a person box; default: {DEFAULT_DETECTION_THRESHOLD}."
        ),
    ] = None,
    boxes_only: Annotated[
        bool, typer.Option("--boxes-only", help="Box AP of the detector instead of keypoint AP.")
    ] = False,
    json_file: Annotated[Path | None, to_file("--json", help="Write the figures here.")] = None,
    results_file: Annotated[
        Path | None, to_file("--results", help="Write what was found here, as COCO results.")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--single-person", help="Only pictures with exactly one person.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out annotated pictures that are not there.")
    ] = False,
    per_keypoint: Annotated[bool, typer.Option("--per-keypoint", help="Errors by keypoint.")] = False,
    distances: Annotated[
        bool, typer.Option("--distances", help="PCK, AUC; with --normalize-by NME (hands, faces).")
    ] = False,
    normalize_by: Annotated[
        tuple[str, str] | None, typer.Option(help="Two keypoints whose gap is NME's size: names.")
    ] = None,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="Do confidences say how often keypoints are right?")
    ] = False,
    reliability: Annotated[
        Path | None,
        to_file(
            help="Plot that (.png, .svg, .pdf); needs the extra 'plot'.", kinds=(".png", ".svg", ".pdf")
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes, each with models of its own.")] = 1,
    batch: Annotated[
        int, typer.Option(min=1, help="Persons of one call, of several pictures; without --detector.")
    ] = DEFAULT_BATCH_LIMIT,
    resume: Annotated[
        Path | None,
        to_file(help="Keep what is found in this file; a run that was cut off goes on from it."),
    ] = None,
    worst: Annotated[
        tuple[int, Path] | None, typer.Option(help="Number and picture file: a sheet of the worst persons.")
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the measured AP into the artifact's card.")
    ] = False,
) -> None:
    """Measure COCO AP and AR, with ground-truth boxes or through a detector."""
    limit_opencv(threads)
    asked = Asked(
        annotations=annotations, images=images, pose=pose, detector=detector_meant(pose, detector),
        detector_size=detector_size, device=device, threads=threads, engine=engine, precision=precision,
        flip_test=flip_test, detection_threshold=detection_threshold, boxes_only=boxes_only,
        json_file=json_file, results_file=results_file, alone=alone, allow_missing=allow_missing,
        per_keypoint=per_keypoint, distances=distances, normalize_by=normalize_by, calibration=calibration,
        reliability=reliability, processes=processes, batch=batch, resume=resume, worst=worst,
        write_card=write_card,
    )  # fmt: skip
    check_options(asked)
    try:
        measured = measure(asked)
    except KeyboardInterrupt:
        if resume is not None and resume.is_file():
            typer.echo(
                f"stopped: what was found is in {resume}, the same command goes on from it", err=True
            )
        raise
    console = Console()
    content = print_report(console, asked, measured)
    write_all(console, asked, measured, content)
