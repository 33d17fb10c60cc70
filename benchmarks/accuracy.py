"""How accurate is a pipeline, or a detector alone, on COCO-format annotations?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.coco_score import score, scorer, with_areas
from rtmpose_sdk.benchmarks.posers import Poser, Task, batched, one_by_one
from rtmpose_sdk.benchmarks.scoring import Scoring, read_truth
from rtmpose_sdk.benchmarks.subset import present
from rtmpose_sdk.coco import person_boxes, person_category, read_annotations
from rtmpose_sdk.coco_rows import check_rows
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import PoseResult

Track = Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]
"""Shows progress over pictures."""
Watch = Callable[[dict[str, Any], list[dict[str, Any]], PoseResult], None]
"""Sees a picture's row, its annotations, and what was found in it."""
Select = Callable[[dict[str, Any]], dict[str, Any]]
"""Annotations → those that are measured on."""
_COCOS_KIND = "expected COCO's kind"
LEAST_SCORE = 0.01
"""Of a box that counts for a detector's AP: COCO's curves want the unlikely ones, too."""


class Report(NamedTuple):
    """Figures by name (of the annotations' benchmark: `rtmpose_sdk.benchmarks.scoring`), number of pictures
    and of persons that were posed, COCO keypoint results.
    """

    figures: dict[str, float]
    pictures: int
    persons: int
    results: list[dict[str, Any]]

    @property
    def ap(self) -> float:
        """AP, for who compares models by it.

        Raises:
            InputError: the benchmark has none (MPII).
        """
        if "AP" not in self.figures:
            names = ", ".join(list(self.figures)[:3])
            raise InputError(f"the annotations are measured by {names}, ..., not by AP; {_COCOS_KIND}")
        return self.figures["AP"]


def evaluate_pipeline(
    pipeline: Pipeline,
    annotations: Path,
    images: Path,
    track: Track = iter,
    select: Select | None = None,
    watch: Watch | None = None,
    poser: Poser | None = None,
) -> Report:
    """Pose everybody in the annotated pictures and score it as their benchmark does, mostly COCO's AP.

    With a detector, its boxes are used on every picture. Without one, the boxes of the annotated
    persons that have keypoints are (the paper's "GT" column). A person's score is the mean of the
    keypoint scores. `poser` goes through the pictures in another way, see `rtmpose_sdk.benchmarks.posers`.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
        InputError: annotations of another kind, or of other keypoints than the model's.
        ImageError: a picture that is missing or broken.
    """
    predictor, given = pipeline.top_down(), pipeline.detector is None
    if poser is None:
        poser = one_by_one(predictor if given else lambda picture, _: pipeline(picture))
    return evaluate_poses(poser, predictor.keypoint_set, annotations, images, given, track, select, watch)


def evaluate_poses(
    poser: Poser,
    keypoint_set: KeypointSet,
    annotations: Path,
    images: Path,
    boxes_given: bool,
    track: Track = iter,
    select: Select | None = None,
    watch: Watch | None = None,
) -> Report:
    """The same of whatever finds poses in a picture.

    Args:
        poser: given boxes (N,4) xyxy px of annotated persons, or None without `boxes_given`.
        keypoint_set: of the results.
        annotations, images: COCO json, and the folder with its pictures.
        boxes_given: only pictures with annotated persons, and their boxes.
        track: shows progress.
        select: leaves some of the annotations out.
        watch: is shown every picture's poses.

    Raises:
        MissingExtraError, InputError, ImageError: see `evaluate_pipeline`.
    """
    scorer()
    truth = read_truth(annotations, keypoint_set)
    if select is not None:
        truth = select(truth)
    scoring = Scoring(truth, annotations, keypoint_set, boxes_given)
    boxes = person_boxes(truth, annotations)
    pictures = truth["images"]
    if boxes_given:
        pictures = [p for p in pictures if p["id"] in boxes]
    labels: dict[int, list[dict[str, Any]]] = {}
    for label in truth["annotations"]:
        labels.setdefault(label["image_id"], []).append(label)
    tasks = [
        Task(row["id"], images / row["file_name"], boxes[row["id"]] if boxes_given else None)
        for row in pictures
    ]
    # The rows come last: what shows progress must not be ahead of the poses.
    for poses, row in zip(poser(tasks), track(pictures), strict=True):
        if watch is not None:
            watch(row, labels.get(row["id"], []), poses)
        scoring.add(row, labels.get(row["id"], []), poses)
    if not scoring.results:
        raise InputError(f"{images}: nobody was found in {len(pictures)} pictures; there is no AP")
    return Report(scoring.figures(), len(pictures), len(scoring.results), scoring.results)


def evaluate_detector(
    detector: Detector,
    annotations: Path,
    images: Path,
    track: Track = iter,
    select: Select | None = None,
    score_threshold: float = LEAST_SCORE,
) -> Report:
    """Look for persons in every annotated picture and score the boxes as COCO does.

    `score_threshold` holds instead of the detector's own. `select` leaves some of the annotations out.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
        InputError: annotations of another kind, or no box in any picture.
        ImageError: a picture that is missing or broken.
    """
    scorer()
    truth = read_annotations(annotations)
    check_rows(truth, annotations)
    if select is not None:
        truth = select(truth)
    category = _person_boxed(truth, annotations)
    results: list[dict[str, Any]] = []
    for row in track(truth["images"]):
        found = detector(read_image(images / row["file_name"]), score_threshold)
        for (x1, y1, x2, y2), sure in zip(found.boxes.tolist(), found.scores.tolist(), strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": row["id"], "category_id": category, "bbox": box, "score": sure})
    if not results:
        raise InputError(f"{images}: no box in {len(truth['images'])} pictures; there is no AP")
    figures = score(with_areas(truth), results, "bbox")
    return Report(figures, len(truth["images"]), len(results), results)


def check_measurable(
    annotations: Path,
    images: Path,
    keypoint_set: KeypointSet | None,
    allow_missing: bool | None = None,
    select: Select | None = None,
) -> list[str]:
    """Before minutes of work: could AP be measured with these?

    Args:
        annotations, images: COCO json, and the folder with its pictures.
        keypoint_set: of the pose network; None: boxes of a detector are measured.
        allow_missing: measure on the pictures that are there; None: there is no such choice.
        select: leaves some of the annotations out.

    Returns:
        Names of the pictures that are missing.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
        InputError: annotations of another kind or of other keypoints, or pictures that are missing.
    """
    scorer()
    if keypoint_set is None:
        truth = read_annotations(annotations)
        check_rows(truth, annotations)
    else:
        truth = read_truth(annotations, keypoint_set)
    truth = truth if select is None else select(truth)
    if keypoint_set is None:
        _person_boxed(truth, annotations)
    elif not Scoring(truth, annotations, keypoint_set, True).gives_ap:
        raise InputError(f"{annotations}: is measured by PCKh, not by AP; {_COCOS_KIND}")
    return present(truth, images, bool(allow_missing), *([""] if allow_missing is None else []))[1]


def _person_boxed(truth: dict[str, Any], file: Path) -> int:
    """The category of persons.

    Raises:
        InputError: none of them has a box that counts.
    """
    category = int(person_category(truth, file)["id"])
    if all(row["category_id"] != category or row.get("iscrowd") for row in truth["annotations"]):
        raise InputError(
            f"{file}: no box of a person in the {len(truth['images'])} pictures that are measured; there "
            "is nothing to measure"
        )
    return category


def artifact_accuracy(
    artifact: Path, annotations: Path, images: Path, threads: int | None = None, device: str = "cpu"
) -> dict[str, float]:
    """COCO's figures of one file: of keypoints in ground-truth boxes, or of a detector's boxes.

    Raises:
        DeviceError: the artifact does not run on that device.
        InputError, ImageError, MissingExtraError: see `evaluate_pipeline` and `evaluate_detector`.
    """
    if artifact_card(artifact).task == "pose":
        with Predictor(artifact, device, threads=threads) as predictor:
            return model_accuracy(predictor, annotations, images)
    with Detector(artifact, device, threads=threads) as detector:
        return model_accuracy(detector, annotations, images)


def model_accuracy(
    model: Predictor | Detector,
    annotations: Path,
    images: Path,
    track: Track = iter,
    select: Select | None = None,
) -> dict[str, float]:
    """The same of a model that is open.

    Raises:
        InputError, ImageError, MissingExtraError: see `evaluate_pipeline` and `evaluate_detector`.
    """
    if isinstance(model, Predictor):
        report = evaluate_poses(
            batched(model), model.keypoint_set, annotations, images, True, track, select
        )
        return {"AP": report.ap, **report.figures}
    return evaluate_detector(model, annotations, images, track, select).figures
