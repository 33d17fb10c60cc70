"""Two stages: the poses of persons first, then a closer look at their hands or faces by another network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import clip_boxes
from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.values import check_share

Floats = NDArray[np.float32]
Part = Literal["left_hand", "right_hand", "face"]

_HAND_PER_FOREARM = 0.108 / 0.146
"""Lengths of hand and forearm as parts of the body's height (Winter, Biomechanics, figure 4.1)."""
_HAND_MARGIN = 1.35
"""A box is larger than the hand: spread fingers, and a wrist that is a little off."""
_FACE_PER_EYES = 3.2
"""Height of a face, chin to hairline, by the distance between the eyes (about 190 and 62 mm)."""
_FACE_PER_EARS = 1.4
_PART_MARGIN = 1.2
"""Around keypoints of the part itself."""
_SMALLEST = 6.0
"""Sides below it, px, hold nothing to look at."""


class PartBoxes(NamedTuple):
    """Boxes (M,4) xyxy px, and the row of the person (M,) that each belongs to."""

    boxes: Floats
    owners: NDArray[np.intp]


class CascadeResult(NamedTuple):
    """Poses of persons, and those of their parts.

    Attributes:
        persons: the first stage.
        parts: poses of each part that was looked at; one row per part that was found.
        owners: for each of these rows, the row of its person.
    """

    persons: PoseResult
    parts: Mapping[str, PoseResult]
    owners: Mapping[str, NDArray[np.intp]]

    def merged(self) -> PoseResult:
        """Whole-body poses with the second stage's keypoints where it is surer than the first.

        Raises:
            InputError: the persons' keypoint set has no such parts, or with other keypoints.
        """
        keypoints = self.persons.keypoints.copy()
        scores = self.persons.keypoint_scores.copy()
        confidences = self.persons.confidences.copy()
        for part, poses in self.parts.items():
            places = self.persons.keypoint_set.parts.get(part)
            if places is None or places[1] - places[0] != len(poses.keypoint_set):
                raise InputError(
                    f"{poses.keypoint_set.name} cannot be put into {self.persons.keypoint_set.name}: it "
                    "has no part "
                    f"'{part}' with {len(poses.keypoint_set)} keypoints"
                )
            for row, owner in enumerate(self.owners[part]):
                if poses.confidences[row].mean() > confidences[owner, slice(*places)].mean():
                    keypoints[owner, slice(*places)] = poses.keypoints[row]
                    scores[owner, slice(*places)] = poses.keypoint_scores[row]
                    confidences[owner, slice(*places)] = poses.confidences[row]
        return replace(self.persons, keypoints=keypoints, keypoint_scores=scores, confidences=confidences)


class Cascade(Closing):
    """Pipeline → boxes of parts → a predictor for each part.

    Args:
        pipeline: finds persons and their poses, whole body or body.
        parts: which predictor looks at which part: {"left_hand": hands, "right_hand": hands}. One predictor
            may serve several parts; all its boxes go through in one batch.
        min_confidence: least confidence of the keypoints that a part's box is made from.
    """

    def __init__(
        self, pipeline: Pipeline, parts: Mapping[Part, Predictor], min_confidence: float = 0.3
    ) -> None:
        if not parts:
            raise InputError("there is no part to look at; give for example {'left_hand': Predictor(...)}")
        for part, predictor in parts.items():
            if part not in get_args(Part) or not isinstance(predictor, Predictor):
                raise InputError(
                    f"part {part!r} is {predictor!r:.60}; expected a Predictor for each of "
                    f"{', '.join(get_args(Part))} that is looked at"
                )
        check_share("min_confidence", min_confidence)
        self.pipeline, self.parts, self.min_confidence = pipeline, dict(parts), min_confidence

    def __call__(self, image: object, boxes: Detections | object | None = None) -> CascadeResult:
        """Poses of the persons in a picture, and of their parts.

        Args:
            image, boxes: see `Pipeline`.

        Raises:
            ImageError, InputError, EngineError: see `Pipeline`.
        """
        picture = as_bgr(image)
        persons = self.pipeline(picture, boxes)
        found = {part: part_boxes(persons, part, self.min_confidence) for part in self.parts}
        results: dict[str, PoseResult] = {}
        for predictor in dict.fromkeys(self.parts.values()):
            mine = [part for part, each in self.parts.items() if each is predictor]
            poses = predictor(picture, np.concatenate([found[part].boxes for part in mine]))
            start = 0
            for part in mine:
                count = len(found[part].boxes)
                results[part] = poses[start : start + count]
                start += count
        return CascadeResult(persons, results, {part: boxes.owners for part, boxes in found.items()})

    def close(self) -> None:
        """Free all engines."""
        self.pipeline.close()
        for predictor in dict.fromkeys(self.parts.values()):
            predictor.close()


def part_boxes(result: PoseResult, part: Part, min_confidence: float = 0.3) -> PartBoxes:
    """Where a part of each person is: around its own keypoints, else as arms and head tell.

    Persons whose keypoints are unsure, or whose part is outside the picture, have no box.

    Raises:
        InputError: the keypoint set tells nothing about the part.
    """
    made, owners = [], []
    for row in range(len(result)):
        square = _around(result, row, part, min_confidence)
        if square is None:
            continue
        box = clip_boxes(square, result.image_size)
        if min(box[2] - box[0], box[3] - box[1]) >= _SMALLEST:
            made.append(box)
            owners.append(row)
    boxes = np.array(made, np.float32).reshape(-1, 4)
    return PartBoxes(boxes, np.array(owners, np.intp))


def _around(result: PoseResult, row: int, part: Part, least: float) -> Floats | None:
    """A square around the part of one person, else None."""
    points, sure = result.keypoints[row], result.confidences[row] >= least
    if part in result.keypoint_set.parts:
        rows = np.arange(*result.keypoint_set.parts[part])
        rows = rows[sure[rows]]
        if len(rows) >= 4:
            low, high = points[rows].min(axis=0), points[rows].max(axis=0)
            return _square((low + high) / 2, float((high - low).max()) * _PART_MARGIN)
    names = {name: i for i, name in enumerate(result.keypoint_set.names)}

    def at(name: str) -> Floats | None:
        i = names.get(name)
        return points[i] if i is not None and sure[i] else None

    side = part.split("_")[0]
    if ("nose" if part == "face" else f"{side}_wrist") not in names:
        raise InputError(f"{result.keypoint_set.name} does not tell where a {part} is")
    if part == "face":
        return _face(at)
    elbow, wrist = at(f"{side}_elbow"), at(f"{side}_wrist")
    if elbow is None or wrist is None:
        return None
    hand = (wrist - elbow) * np.float32(_HAND_PER_FOREARM)
    return _square(wrist + hand / np.float32(2), float(np.linalg.norm(hand)) * _HAND_MARGIN)


def _face(at: Callable[[str], Floats | None]) -> Floats | None:
    eyes = [p for p in (at("left_eye"), at("right_eye")) if p is not None]
    ears = [p for p in (at("left_ear"), at("right_ear")) if p is not None]
    nose = at("nose")
    if nose is None or len(eyes) < 2:
        return None
    side = float(np.linalg.norm(eyes[0] - eyes[1])) * _FACE_PER_EYES
    if len(ears) == 2:
        side = max(side, float(np.linalg.norm(ears[0] - ears[1])) * _FACE_PER_EARS)
    return _square(nose, side)


def _square(centre: Floats, side: float) -> Floats:
    square: Floats = np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)
    return square
