"""`rtmpose eval`: COCO AP of the artifact that is deployed, of keypoints or of boxes."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtmpose_sdk.cli.evaluate_card import Place, accuracy_name, find_place, write_accuracy
from rtmpose_sdk.cli.evaluate_details import (
    check_details,
    finite,
    plot_reliability,
    print_calibration,
    print_distances,
    print_keypoints,
)
from rtmpose_sdk.cli.options import (
    DetectorOption,
    DetectorSize,
    DeviceOption,
    EngineOption,
    Pose,
    PrecisionOption,
    Threads,
    limit_opencv,
    output_of_kind,
    parse_size,
    to_file,
)
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import IMAGE_SUFFIXES
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD, Pipeline
from rtmpose_sdk.predictor import DEFAULT_BATCH_LIMIT
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.zoo import DEFAULT_POSE

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.matched import Matched
    from rtmpose_sdk.benchmarks.posers import Poser


def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO keypoint annotations (json).")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    pose: Pose = DEFAULT_POSE,
    detector: DetectorOption = None,
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
        typer.Option(help="Keep what is found in this file; a run that was cut off goes on from it."),
    ] = None,
    worst: Annotated[
        tuple[int, Path] | None, typer.Option(help="Number and picture file: a sheet of the worst persons.")
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the measured AP into the artifact's card.")
    ] = False,
) -> None:
    """Measure COCO AP and AR, with ground-truth boxes or through a detector."""
    from rtmpose_sdk.benchmarks.accuracy import LEAST_SCORE, evaluate_detector, evaluate_pipeline
    from rtmpose_sdk.benchmarks.matched import match
    from rtmpose_sdk.benchmarks.posers import kept
    from rtmpose_sdk.images import write_bytes, write_image

    limit_opencv(threads)
    if boxes_only and detector is None:
        raise InputError("--boxes-only measures a detector; name it with --detector")
    size = None if detector_size is None else parse_size(detector_size, square=True)
    details = per_keypoint or distances or normalize_by or calibration or reliability or worst
    if boxes_only and (details or alone or resume or flip_test or processes > 1):
        raise InputError(
            "--boxes-only goes without --single-person, --per-keypoint, --distances, --calibration, "
            "--reliability, --worst, --resume, --flip-test and --processes, which are of keypoints"
        )
    if detection_threshold is not None and (boxes_only or detector is None):
        raise InputError(
            "--detection-threshold is of boxes that persons are posed in: expected --detector, and no "
            f"--boxes-only (which takes all boxes above {LEAST_SCORE}, as COCO does)"
        )
    threshold = DEFAULT_DETECTION_THRESHOLD if detection_threshold is None else detection_threshold
    if worst is not None and worst[0] < 1:
        raise InputError(f"--worst {worst[0]}; expected at least 1 person")
    output_of_kind(worst[1] if worst else None, IMAGE_SUFFIXES)
    persons: list[Matched] = []
    missing: list[str] = []
    place: Place | None = None
    select = functools.partial(
        _select, images=images, alone=alone, allow_missing=allow_missing, missing=missing
    )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if boxes_only:
            assert detector is not None
            finder = Detector(detector, device, threads, precision, engine=engine, input_size=size)
            with finder:
                runtime = finder.runtime
                place = find_place(detector, runtime) if write_card else None
                report = evaluate_detector(
                    finder, annotations, images, lambda rows: progress.track(rows), select
                )
        else:
            open_pipeline = functools.partial(
                Pipeline,
                pose,
                detector,
                device,
                threads,
                precision,
                threshold,
                batch_limit=batch,
                flip_test=flip_test,
                engine=engine,
                detector_size=size,
            )
            pipeline = open_pipeline()
            points = pipeline.top_down().keypoint_set
            check_details(normalize_by, points.names, reliability)

            def watch(row: dict[str, Any], labels: list[dict[str, Any]], poses: PoseResult) -> None:
                persons.extend(match(row, labels, poses, in_order=detector is None))

            with pipeline:
                runtime = pipeline.top_down().runtime
                place = find_place(pose, runtime) if write_card else None
                poser = _poser(pipeline, open_pipeline, processes)
                if resume is not None:
                    settings = _settings(pipeline, annotations, images, flip_test, threshold)
                    poser = kept(poser, resume, settings, points)
                report = evaluate_pipeline(
                    pipeline,
                    annotations,
                    images,
                    lambda rows: progress.track(rows),
                    select,
                    watch if details else None,
                    poser,
                )
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
    if missing:
        console.print(f"{len(missing)} pictures are missing: {', '.join(missing)}", soft_wrap=True)
    boxes = f"boxes of {detector}" if detector else "ground-truth boxes"
    content: dict[str, Any] = {
        **finite(report.figures),
        "pictures": report.pictures,
        "persons": report.persons,
        "missing": missing,
        "settings": {
            "annotations": str(annotations),
            "images": str(images),
            "pose": None if boxes_only else pose,
            "detector": detector,
            "detector size": size,
            "of": "boxes" if boxes_only else f"keypoints, {boxes}",
            "engine": runtime.engine,
            "device": str(runtime.device),
            "precision": runtime.precision,
            "threads": runtime.threads,
            "flip test": flip_test,
            "detection threshold": threshold if detector and not boxes_only else None,
            "single person": alone,
            "processes": processes,
            "batch": batch,
        },
    }
    if per_keypoint:
        content["keypoints"] = print_keypoints(console, persons, points.names)
    if distances or normalize_by:
        content["distances"] = print_distances(console, persons, points.names, normalize_by)
    if calibration or reliability:
        content["calibration"] = print_calibration(console, persons)
    # Figures before pictures: a plot that fails must not cost them.
    if results_file is not None:
        write_bytes(results_file, json.dumps(report.results).encode())
    if json_file is not None:
        write_bytes(json_file, json.dumps(content, indent=1).encode())
    if place is not None:
        figure = next(iter(report.figures))
        finder_name = f"boxes of {Path(detector).name}" if detector else boxes  # no folder of this machine
        conditions = ["person boxes" if boxes_only else finder_name]
        conditions += [f"pictures up to {size[0]}x{size[1]}"] if size else []
        conditions += ["flip test"] * flip_test + ["single persons"] * alone
        conditions += [precision] if precision else []
        name = accuracy_name(figure, annotations, report.pictures, *conditions)
        write_accuracy(place, name, report.figures[figure])
        console.print(f"{place.path}: its card has {name}", markup=False, soft_wrap=True)
    if reliability is not None:
        plot_reliability(persons, reliability)
    if worst is not None:
        from rtmpose_sdk.benchmarks.worst import worst_sheet

        write_image(worst[1], worst_sheet(persons, worst[0], images, points))


def _select(
    truth: dict[str, Any], images: Path, alone: bool, allow_missing: bool, missing: list[str]
) -> dict[str, Any]:
    """What is measured on; the names of missing pictures go to `missing`."""
    from rtmpose_sdk.benchmarks.subset import present, single_person

    truth, gone = present(single_person(truth) if alone else truth, images, allow_missing)
    missing.extend(gone)
    return truth


def _poser(pipeline: Pipeline, open_pipeline: Callable[[], Pipeline], processes: int) -> Poser:
    """How the pictures are gone through."""
    from rtmpose_sdk.benchmarks.posers import batched, in_processes, one_by_one

    if processes > 1:
        return in_processes(processes, open_pipeline)
    if pipeline.detector is None:
        return batched(pipeline.top_down())
    return one_by_one(lambda picture, _: pipeline(picture))


def _settings(
    pipeline: Pipeline, annotations: Path, images: Path, flip_test: bool, detection_threshold: float
) -> dict[str, Any]:
    """What the results depend on, as JSON has it: cards, too, wherever they come from."""
    from rtmpose_sdk.profile import hashes

    networks = {"pose": pipeline.top_down(), "detector": pipeline.detector}
    return {
        "annotations": hashes(annotations),
        "images": str(images.resolve()),
        "flip_test": flip_test,
        "detection_threshold": detection_threshold if pipeline.detector else None,
        **{
            role: [
                hashes(net.runtime.path),
                hashlib.sha256(net.card.to_json().encode()).hexdigest(),
                net.runtime.engine,
                net.runtime.precision,
            ]
            if net
            else None
            for role, net in networks.items()
        },
    }
