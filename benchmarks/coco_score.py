"""COCO's AP and AR of keypoints and boxes, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np

from rtmpose_sdk.errors import MissingExtraError
from rtmpose_sdk.keypoint_sets import KeypointSet

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
BOX_FIGURES = (
    *("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
    *("AR1", "AR10", "AR100", "AR small", "AR medium", "AR large"),
)
"""COCO's twelve box figures, in the order of its `stats`."""
UNKNOWN_SIGMA = 0.05
"""OKS sigma of every keypoint of a set that has none of its own; COCO's lie between 0.025 and 0.107."""
BOX_SHARE = 0.53
"""Of a box that a person fills, where no area is annotated: what COCO's evaluation takes for CrowdPose."""


def scorer() -> ModuleType:
    """faster-coco-eval.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faster_coco_eval
    except ImportError:
        raise MissingExtraError("faster-coco-eval", "eval", "Measuring AP") from None
    module: ModuleType = faster_coco_eval
    return module


def sigmas_for_ap(keypoint_set: KeypointSet) -> tuple[float, ...]:
    """(K,) OKS falloffs; `UNKNOWN_SIGMA` where the set has none."""
    return tuple(keypoint_set.oks_sigmas or (UNKNOWN_SIGMA,) * len(keypoint_set))


def score(
    truth: dict[str, Any],
    results: list[dict[str, Any]],
    kind: Literal["keypoints", "bbox"],
    sigmas: Sequence[float] | None = None,
    pictures: Collection[Any] | None = None,
    categories: Collection[int] | None = None,
) -> dict[str, float]:
    """COCO's figures by name; -1 where nothing is annotated.

    Args:
        truth: COCO annotations, of any ids.
        results: COCO results, at least one.
        kind: of the results.
        sigmas: (K,) OKS falloffs of keypoints.
        pictures: ids of those that count; None for all.
        categories: ids to average over; None for the results'.
    """
    coco = scorer()
    names = FIGURES if kind == "keypoints" else BOX_FIGURES
    truth, results, numbers = _numbered(truth, results)
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = coco.COCO(truth)
        scoring = coco.COCOeval_faster(ground_truth, ground_truth.loadRes(results), kind)
        scoring.params.catIds = sorted(categories or {row["category_id"] for row in results})
        if pictures is not None:
            scoring.params.imgIds = sorted(numbers[picture] for picture in pictures)
        if sigmas is not None:
            scoring.params.kpt_oks_sigmas = np.array(sigmas)
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    return dict(zip(names, map(float, scoring.stats[: len(names)]), strict=True))


def _numbered(
    truth: dict[str, Any], results: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[Any, int]]:
    """The same with ids that count from 1, and the pictures' new ones.

    COCO's evaluation takes an annotation of id 0 for none, and knows no text.
    """
    ids = [row["id"] for row in truth["images"]]
    if all(isinstance(one, int) for one in ids):
        ids.sort()  # the order in which results of one score count
    numbers = {one: number for number, one in enumerate(ids, 1)}
    images = [{**row, "id": numbers[row["id"]]} for row in truth["images"]]
    rows = [
        {**row, "id": number, "image_id": numbers[row["image_id"]]}
        for number, row in enumerate(truth["annotations"], 1)
    ]
    found = [{**row, "image_id": numbers[row["image_id"]]} for row in results]
    return {**truth, "images": images, "annotations": rows}, found, numbers


def with_areas(truth: dict[str, Any], always: bool = False) -> dict[str, Any]:
    """Annotations with an area each: where none is annotated, or `always`, `BOX_SHARE` of the box.

    An area of 0, which tools write for what has no outline, is none: OKS would be 0, whatever is found.
    """
    rows = truth["annotations"]
    if not always and all(row.get("area") for row in rows):
        return truth

    def made(row: dict[str, Any]) -> dict[str, Any]:
        _, _, w, h = row["bbox"]
        return row if row.get("area") and not always else {**row, "area": BOX_SHARE * w * h}

    return {**truth, "annotations": [made(row) for row in rows]}
