"""How accurate is a pipeline on COCO-format annotations?"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rtmpose_sdk.coco import person_boxes, read_annotations
from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.pipeline import Pipeline

FIGURES = (
    "AP",
    "AP50",
    "AP75",
    "AP medium",
    "AP large",
    "AR",
    "AR50",
    "AR75",
    "AR medium",
    "AR large",
)
"""COCO's ten keypoint figures, in the order of its `stats`."""


class Report(NamedTuple):
    """Figures by name, number of pictures and of persons that were posed, COCO keypoint results."""

    figures: dict[str, float]
    pictures: int
    persons: int
    results: list[dict[str, Any]]


def evaluate_pipeline(
    pipeline: Pipeline,
    annotations: Path,
    images: Path,
    track: Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]] = iter,
) -> Report:
    """Pose everybody in the annotated pictures and score it as COCO does.

    With a detector, its boxes are used on every picture. Without one, the boxes of the annotated
    persons that have keypoints are (the paper's "GT" column). A person's score is the mean of the
    keypoint scores.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
        InputError: annotations of another kind, or of other keypoints than the model's.
        ImageError: a picture that is missing or broken.
    """
    try:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    except ImportError:
        raise MissingExtraError("faster-coco-eval", "eval", "Measuring AP") from None
    truth = _read(annotations, len(pipeline.predictor.keypoint_set))
    boxes = person_boxes(truth, annotations)
    pictures = truth["images"]
    if pipeline.detector is None:
        pictures = [p for p in pictures if p["id"] in boxes]
    results: list[dict[str, Any]] = []
    for row in track(pictures):
        picture = read_image(images / row["file_name"])
        given = None if pipeline.detector else boxes[row["id"]]
        results.extend(pipeline(picture, given).to_coco(row["id"]))
    if not results:
        raise InputError(f"{images}: nobody was found in {len(pictures)} pictures; there is no AP")
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(truth)
        scoring = COCOeval(ground_truth, ground_truth.loadRes(results), "keypoints")
        scoring.params.kpt_oks_sigmas = np.array(pipeline.predictor.keypoint_set.oks_sigmas)
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    figures = dict(zip(FIGURES, map(float, scoring.stats[: len(FIGURES)]), strict=True))
    return Report(figures, len(pictures), len(results), results)


def _read(annotations: Path, keypoints: int) -> dict[str, Any]:
    truth = read_annotations(annotations)
    counts = {len(row["keypoints"]) // 3 for row in truth["annotations"] if "keypoints" in row}
    if counts != {keypoints}:
        raise InputError(
            f"{annotations}: annotations have {sorted(counts) or 'no'} keypoints, the model {keypoints}"
        )
    return truth
