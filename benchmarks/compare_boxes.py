"""Do two detectors find the same boxes in the same pictures?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.compare import BoxPair, Comparison, Row, Rows, percentile
from rtmpose_sdk.benchmarks.differences import OutputDifferences, alike
from rtmpose_sdk.benchmarks.shifts import Outputs
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.images import read_image
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.outputs import find_outputs
from rtmpose_sdk.results import Detections

SAME_BOX = 0.5
"""Overlap from which two boxes are taken for the same person."""
_ALL_BOXES = ("boxes", "yolox")
"""Decoders of detectors that leave NMS to the SDK."""


def compare_boxes(
    a: Detector, b: Detector, rows: Rows, track: Callable[[Rows], Iterable[Row]] = iter
) -> Comparison:
    """Look for persons in the same pictures with both.

    Raises:
        InputError: neither finds anybody.
    """
    pictures: list[BoxPair] = []
    moved: list[NDArray[Any]] = []
    score, broken = 0.0, 0
    differences = OutputDifferences()
    laid_beside = _same_boxes(a, b)
    for row in track(rows):
        picture = read_image(row.path)
        if laid_beside:
            want, have = _box_outputs(a, picture), _box_outputs(b, picture)
            if alike(want, have) and not differences.add(want, have):
                broken += 1
                continue
        one, other = a(picture), b(picture)
        places, overlaps = _matched(one, other)
        for i, j in places:
            moved.append(np.abs(one.boxes[i] - other.boxes[j]))
            score = max(score, float(abs(one.scores[i] - other.scores[j])))
        only_a, only_b = len(one) - len(places), len(other) - len(places)
        difference = only_a + only_b + float((1 - overlaps).sum())
        pictures.append(BoxPair(row.path, one, other, only_a, only_b, difference))
    if not moved and not broken:
        raise InputError(f"no person that both find in {len(rows)} pictures; there is nothing to compare")
    pictures.sort(key=lambda pair: -pair.difference)
    values = np.concatenate([*moved, np.full(4 * broken, np.inf)])
    nan = float("nan")
    return Comparison(
        persons=len(moved),
        median=percentile(values, 50),
        p99=percentile(values, 99),
        worst=float(values.max()),
        sure_p99=nan,
        aside_p99=nan,
        ties=0,
        score=score,
        only_a=sum(pair.only_a for pair in pictures),
        only_b=sum(pair.only_b for pair in pictures),
        pairs=[],
        pictures=pictures,
        outputs=differences,
    )


def _matched(one: Detections, other: Detections) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
    """Places of the boxes that are the same person's in both, and how much these overlap.

    Both are sorted by score: each box of the first takes the best of the second that is left.
    """
    overlap = iou(one.boxes, other.boxes)
    places, overlaps = [], []
    for i in range(len(one) if len(other) else 0):
        j = int(overlap[i].argmax())
        if overlap[i, j] >= SAME_BOX:
            places.append((i, j))
            overlaps.append(overlap[i, j])
            overlap[:, j] = -1
    return places, np.array(overlaps, np.float32)


def _same_boxes(a: Detector, b: Detector) -> bool:
    """True where outputs can be laid beside each other: all boxes of the same picture, before NMS."""
    alike_in = ("decoder", "input_size", "pad_value")
    return a.card.decoder in _ALL_BOXES and all(
        getattr(a.card, name) == getattr(b.card, name) for name in alike_in
    )


def _box_outputs(detector: Detector, picture: NDArray[np.uint8]) -> Outputs:
    """What the network itself gives, undecoded, for a picture in a full letterbox, which all take."""
    card, runtime = detector.card, detector.runtime
    canvas, _ = letterbox(picture, card.input_size, card.pad_value)
    values = runtime.run(Normalizer(card)(canvas[None]))
    return {role: values[i] for role, i in find_outputs(runtime.outputs, card, runtime.path).items()}
