"""`rtmpose eval`: how are boxes and keypoints measured?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.progress import Progress

from rtmpose_sdk.cli.evaluate_asked import Asked
from rtmpose_sdk.cli.evaluate_card import Place, find_place
from rtmpose_sdk.cli.evaluate_details import check_details
from rtmpose_sdk.cli.evaluate_resume import settings_of
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.runtimes import Runtime

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.accuracy import Report, Track
    from rtmpose_sdk.benchmarks.matched import Matched
    from rtmpose_sdk.benchmarks.posers import Poser


class Poses(NamedTuple):
    """Annotated persons with what was found of them: none unless details are asked for."""

    persons: list[Matched]
    keypoint_set: KeypointSet


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        report: the figures and what they are of.
        runtime: of the network that was measured; closed.
        missing: names of the annotated pictures that are not there.
        place: of that network's card, where it is to be written.
        poses: None where boxes were measured.
    """

    report: Report
    runtime: Runtime
    missing: list[str]
    place: Place | None
    poses: Poses | None


def measure(asked: Asked) -> Measured:
    """Boxes or keypoints, with a bar on standard error."""
    detector = asked.boxes_of
    console = Console(stderr=True)
    # What is no terminal would get an empty line of it.
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        if detector is None:
            return measure_keypoints(asked, progress.track)
        return measure_boxes(asked, detector, progress.track)


def measure_boxes(asked: Asked, detector: str, track: Track) -> Measured:
    """The boxes that a detector finds."""
    from rtmpose_sdk.benchmarks.accuracy import evaluate_detector

    missing: list[str] = []
    select = functools.partial(_select, asked=asked, missing=missing)
    with Detector(
        detector,
        asked.device,
        threads=asked.threads,
        precision=asked.precision,
        engine=asked.engine,
        input_size=asked.size,
    ) as finder:
        place = find_place(detector, finder.runtime) if asked.write_card else None
        report = evaluate_detector(finder, asked.annotations, asked.images, track, select)
    return Measured(report, finder.runtime, missing, place, None)


def measure_keypoints(asked: Asked, track: Track) -> Measured:
    """The keypoints of persons, in annotated boxes or in a detector's."""
    from rtmpose_sdk.benchmarks.accuracy import evaluate_pipeline
    from rtmpose_sdk.benchmarks.matched import match

    missing: list[str] = []
    select = functools.partial(_select, asked=asked, missing=missing)
    persons: list[Matched] = []

    def watch(row: dict[str, Any], labels: list[dict[str, Any]], poses: PoseResult) -> None:
        persons.extend(match(row, labels, poses, in_order=asked.detector is None))

    open_pipeline = _opener(asked)
    with open_pipeline() as pipeline:
        predictor = pipeline.top_down()
        check_details(asked.normalize_by, predictor.keypoint_set.names, asked.reliability)
        place = find_place(asked.pose, predictor.runtime) if asked.write_card else None
        report = evaluate_pipeline(
            pipeline,
            asked.annotations,
            asked.images,
            track,
            select,
            watch if asked.details else None,
            _poser(asked, pipeline, open_pipeline),
        )
    return Measured(report, predictor.runtime, missing, place, Poses(persons, predictor.keypoint_set))


def _select(truth: dict[str, Any], asked: Asked, missing: list[str]) -> dict[str, Any]:
    """What is measured on; the names of missing pictures go to `missing`."""
    from rtmpose_sdk.benchmarks.subset import present, single_person

    wanted = single_person(truth) if asked.alone else truth
    wanted, gone = present(wanted, asked.images, asked.allow_missing)
    missing.extend(gone)
    return wanted


def _opener(asked: Asked) -> Callable[[], Pipeline]:
    """Opens the networks, in other processes, too: it can be pickled."""
    return functools.partial(
        Pipeline,
        asked.pose,
        asked.detector,
        asked.device,
        threads=asked.threads,
        precision=asked.precision,
        engine=asked.engine,
        detection_threshold=asked.threshold,
        detector_size=asked.size,
        batch_limit=asked.batch,
        flip_test=asked.flip_test,
    )


def _poser(asked: Asked, pipeline: Pipeline, open_pipeline: Callable[[], Pipeline]) -> Poser:
    """How the pictures are gone through."""
    from rtmpose_sdk.benchmarks.posers import batched, in_processes, kept, one_by_one

    if asked.processes > 1:
        poser = in_processes(asked.processes, open_pipeline)
    elif pipeline.detector is None:
        poser = batched(pipeline.top_down())
    else:
        poser = one_by_one(lambda picture, _: pipeline(picture))
    if asked.resume is None:
        return poser
    settings = settings_of(pipeline, asked.annotations, asked.images, asked.flip_test, asked.threshold)
    return kept(poser, asked.resume, settings, pipeline.top_down().keypoint_set)
