"""Do two artifacts, or two engines, give the same keypoints on the same pictures?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.differences import OutputDifferences, alike
from rtmpose_sdk.benchmarks.shifts import DECODERS, keypoint_shifts
from rtmpose_sdk.coco import person_boxes, read_annotations
from rtmpose_sdk.coco_rows import check_rows
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import check_boxes
from rtmpose_sdk.images import pictures_in, read_image
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import Detections, PoseResult

SURE = 0.3
"""Confidence from which a keypoint is taken for seen."""
TIE = 1e-2
"""As in the export's gate for bf16 and int8, see `keypoint_shifts`."""
Rows = list["Row"]


class Row(NamedTuple):
    """A picture, and its annotated boxes (N,4) xyxy px; None where there are no annotations."""

    path: Path
    boxes: NDArray[np.float32] | None


class PosePair(NamedTuple):
    """A person as both see it: poses of one person each, and the shift of every keypoint (K,).

    Shifts are in px of the first model's input, so that near and far persons count alike.
    """

    path: Path
    a: PoseResult
    b: PoseResult
    shifts: NDArray[np.float64]


class BoxPair(NamedTuple):
    """A picture as both detectors see it.

    Attributes:
        only_a, only_b: number of boxes that one alone has.
        difference: 1 for each of these, and 1 - the overlap of each box with its counterpart.
    """

    path: Path
    a: Detections
    b: Detections
    only_a: int
    only_b: int
    difference: float


class Comparison(NamedTuple):
    """What was found.

    Attributes:
        persons: compared (pose), or found by both (detect).
        median, p99, worst: shift of keypoints, px of the network input; or of boxes' sides, px of the
            picture.
        aside_p99, ties: the same p99 with ties aside (shift along an axis), and their number; NaN where the
            two have other decoders or input sizes.
        sure_p99: the same p99 of the keypoints that the first is sure of (`SURE`); NaN where there are
            none. Elsewhere two peaks may be nearly as high, and a breath decides between them.
        score: largest difference of a keypoint's confidence, or of a box's score.
        only_a, only_b: boxes that one detector alone has.
        pairs: all persons (pose), those that differ most first.
        pictures: all pictures (detect), those whose boxes differ most first.
        outputs: the networks' own outputs laid beside each other; nothing in it where they cannot be. A
            picture where one of them is not finite counts with infinite shifts, and is in neither list.
    """

    persons: int
    median: float
    p99: float
    worst: float
    sure_p99: float
    aside_p99: float
    ties: int
    score: float
    only_a: int
    only_b: int
    pairs: list[PosePair]
    pictures: list[BoxPair]
    outputs: OutputDifferences


def find_rows(images: Path, annotations: Path | None, limit: int | None = None) -> Rows:
    """Pictures to compare on: those with annotated persons, or all of a folder.

    Raises:
        InputError: no such folder, no picture in it, or annotations of another kind.
    """
    if not images.is_dir():
        raise InputError(f"{images}: not a folder; expected one with pictures to compare on")
    if annotations is None:
        rows = [Row(p, None) for p in pictures_in(images)]
    else:
        content = read_annotations(annotations)
        check_rows(content, annotations)
        boxes = person_boxes(content, annotations)
        rows = [
            Row(images / row["file_name"], boxes[row["id"]])
            for row in content["images"]
            if row["id"] in boxes
        ]
    if not rows:
        raise InputError(f"{images}: no picture to compare on")
    return rows[:limit]


def compare_poses(
    a: Predictor,
    b: Predictor,
    rows: Rows,
    detector: Detector | None = None,
    track: Callable[[Rows], Iterable[Row]] = iter,
) -> Comparison:
    """Pose the same persons with both.

    Args:
        a, b: predictors of the same keypoints.
        rows: pictures; without annotated boxes the detector's are taken.
        detector: finds persons where nothing is annotated; without it the whole picture is one.
        track: shows progress.

    Raises:
        InputError: other keypoints, or nobody to compare on.
    """
    if a.keypoint_set != b.keypoint_set:
        raise InputError(
            f"{a.card.name} gives {a.keypoint_set.name}, {b.card.name} {b.keypoint_set.name}; only models "
            "of the same keypoints can be compared"
        )
    pairs: list[PosePair] = []
    score = 0.0
    aside: list[NDArray[Any]] = []
    ties = broken = 0
    differences = OutputDifferences()
    for row in track(rows):
        picture = read_image(row.path)
        size = (picture.shape[1], picture.shape[0])
        if row.boxes is not None:
            boxes = check_boxes(row.boxes, size)
        elif detector is not None:
            boxes = detector(picture).boxes
        else:
            boxes = np.array([[0, 0, *size]], np.float32)
        if len(boxes) and _same_bins(a, b):
            want, have = a.outputs(picture, boxes), b.outputs(picture, boxes)
            if alike(want, have):
                if not differences.add(want, have):
                    broken += len(boxes)
                    continue
                if a.card.decoder in DECODERS:
                    moved, tied = keypoint_shifts(want, have, a.card, TIE)
                    aside.append(moved)
                    ties += tied
        one, other = a(picture, boxes), b(picture, boxes)
        scales = _crop_scales(boxes, a)
        shifts = np.linalg.norm(one.keypoints - other.keypoints, axis=-1) / scales[:, None]
        pairs += [
            PosePair(row.path, one[i : i + 1], other[i : i + 1], shifts[i]) for i in range(len(boxes))
        ]
        if len(boxes):
            score = max(score, float(np.abs(one.confidences - other.confidences).max()))
    if not pairs and not broken:
        raise InputError(f"nobody was found in {len(rows)} pictures; there is nothing to compare")
    lost = np.full(broken * len(a.keypoint_set), np.inf)
    values = np.concatenate([*(pair.shifts for pair in pairs), lost])
    confidences = np.concatenate([*(pair.a.confidences[0] for pair in pairs), np.zeros(len(lost))])
    pairs.sort(key=lambda pair: -float(np.median(pair.shifts)))
    return Comparison(
        persons=len(pairs) + broken,
        median=percentile(values, 50),
        p99=percentile(values, 99),
        worst=float(values.max()),
        sure_p99=percentile(values[confidences >= SURE], 99),
        aside_p99=percentile(np.concatenate([*aside, lost]), 99),
        ties=ties,
        score=score,
        only_a=0,
        only_b=0,
        pairs=pairs,
        pictures=[],
        outputs=differences,
    )


def _same_bins(a: Predictor, b: Predictor) -> bool:
    """True where outputs can be laid beside each other: of the same crops, in the same bins."""
    alike_in = ("decoder", "input_size", "simcc_split_ratio", "bbox_padding", "crop")
    return all(getattr(a.card, name) == getattr(b.card, name) for name in alike_in)


def _crop_scales(boxes: NDArray[np.float32], predictor: Predictor) -> NDArray[np.float64]:
    """Px of the picture per px of the network input, (N,)."""
    sides = (boxes[:, 2:] - boxes[:, :2]) / np.array(predictor.card.input_size)
    return np.asarray(predictor.card.bbox_padding * sides.max(axis=1))


def percentile(values: NDArray[Any], percent: float) -> float:
    """A percentile: NaN where there is none; between a number and infinity lies infinity."""
    if not len(values):
        return float("nan")
    method: Any = "linear" if np.isfinite(values).all() else "higher"
    return float(np.percentile(values, percent, method=method))
