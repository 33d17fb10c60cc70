"""Does an end2end file give what the Predictor and the Pipeline give in Python?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import iou
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.end2end import Kind
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import Detections

Floats = NDArray[np.float32]
Pictures = Iterable[tuple[NDArray[np.uint8], Floats]]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is still the same. Shifts are px of the picture, None: any.

    Attributes:
        median, p99: of keypoints.
        box: of a side.
        near: a box whose score is so near to the threshold may be there for one and not for the other.
    """

    median: float
    p99: float | None
    box: float | None
    near: float


FLOAT_LIMITS = Limits(median=0.1, p99=1.0, box=1.0, near=0.01)
INT8_LIMITS = Limits(median=2.0, p99=None, box=None, near=0.05)
"""One grey level of a crop draws an int8 network's rounding anew: as far off as int8 is from fp32."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was measured, file against Python. Shifts are px of the picture.

    Attributes:
        verified: every figure is within its limit.
        pictures, boxes, keypoints: numbers that were compared.
        box_shift: largest difference of a side.
        only_one: boxes that only one of the two has, scores near the threshold aside.
        median_shift, p99_shift, worst_shift: of keypoints.
        exact: share of the keypoints that are the same to 0.001 px.
        limits: what was allowed.
    """

    verified: bool
    pictures: int
    boxes: int
    keypoints: int
    box_shift: float
    only_one: int
    median_shift: float
    p99_shift: float
    worst_shift: float
    exact: float
    limits: Limits

    def as_dict(self) -> dict[str, Any]:
        """For the metadata."""
        return asdict(self)


def compare_end2end(
    file: Path,
    kind: Kind,
    *,
    predictor: Predictor | None,
    detector: Detector | None,
    threshold: float,
    pictures: Pictures,
    limits: Limits = FLOAT_LIMITS,
) -> Agreement:
    """Run both, on ONNX Runtime.

    Args:
        file: the end2end artifact.
        kind: what it is.
        predictor, detector: of the same networks, as the kind needs them.
        threshold: least score of a box.
        pictures: BGR pictures with boxes (N,4) xyxy px of persons, which "pose" is given.
        limits: `INT8_LIMITS` where a network is int8.

    Raises:
        InputError: no pictures.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    count = boxes = only_one = 0
    box_shift, shifts = 0.0, [np.empty(0)]
    for picture, given in pictures:
        count += 1
        feed: dict[str, Any] = {"image": picture}
        if kind == "pose":
            feed["boxes"] = given
        found = dict(zip(names, session.run(None, feed), strict=True))
        persons = Detections(given, np.ones(len(given), np.float32), picture.shape[1::-1])
        rows: Any = slice(None)
        if detector is not None:
            persons = detector(picture, threshold)
            pairs = _pairs(persons.boxes, found["boxes"])
            box_shift = max([box_shift, *(shift for _, _, shift in pairs)])
            only_one += _unpaired(persons.scores, [i for i, _, _ in pairs], threshold + limits.near)
            only_one += _unpaired(found["box_scores"], [j for _, j, _ in pairs], threshold + limits.near)
            rows = [j for _, j, _ in pairs]
            persons = Detections(found["boxes"][rows], found["box_scores"][rows], persons.image_size)
        boxes += len(persons)
        if predictor is not None:
            ours = predictor(picture, persons).keypoints
            shifts.append(np.hypot(*np.moveaxis(ours - found["keypoints"][rows], -1, 0)).ravel())
    if not count:
        raise InputError("no pictures to verify with")
    if not boxes and not only_one:
        raise InputError(
            f"nobody was found in {count} pictures: nothing to verify with; take others (--images)"
        )
    moved = np.concatenate(shifts)
    if not len(moved):
        moved = np.zeros(1)
    median, p99 = (float(v) for v in np.percentile(moved, [50, 99]))
    within = (
        allowed is None or measured <= allowed
        for measured, allowed in ((median, limits.median), (p99, limits.p99), (box_shift, limits.box))
    )
    return Agreement(
        verified=all(within) and not only_one,
        pictures=count,
        boxes=boxes,
        keypoints=sum(map(len, shifts)),
        box_shift=box_shift,
        only_one=only_one,
        median_shift=median,
        p99_shift=p99,
        worst_shift=float(moved.max()),
        exact=float((moved < 1e-3).mean()),
        limits=limits,
    )


def _pairs(ours: Floats, theirs: Floats) -> list[tuple[int, int, float]]:
    """Rows of both that are one box (IoU over 0.9), and the largest difference of a side."""
    if not len(ours) or not len(theirs):
        return []
    overlap = iou(ours, theirs)
    best = overlap.argmax(axis=1)
    return [
        (i, int(j), float(np.abs(ours[i] - theirs[j]).max()))
        for i, j in enumerate(best)
        if overlap[i, j] > 0.9
    ]


def _unpaired(scores: Floats, paired: list[int], least: float) -> int:
    return int((np.delete(scores, paired) > least).sum())
