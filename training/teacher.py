"""A stronger model's keypoints for persons that nobody labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtmpose_sdk.boxes import box_areas
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.training.persons import Persons

DEFAULT_CONFIDENCE = 0.3
"""Least confidence of a teacher's keypoint that is learned from."""
LEAST_KEYPOINTS = 6
"""A person without labels needs as many from the teacher."""
LEAST_AREA = 24.0**2
"""Px; smaller persons without labels are left out, because a teacher guesses there."""


def check_teacher(teacher: str | Path, keypoint_set: KeypointSet) -> None:
    """Whether it can be opened, and has these keypoints.

    Raises:
        InputError: the teacher has other keypoints.
        ModelNotFoundError, ModelFileError, CardError: see `Predictor`.
    """
    with Predictor(teacher, threads=1) as predictor:
        _check_keypoints(teacher, predictor, keypoint_set)


def _check_keypoints(teacher: str | Path, predictor: Predictor, keypoint_set: KeypointSet) -> None:
    if predictor.keypoint_set.names != keypoint_set.names:
        raise InputError(
            f"{teacher}: its keypoints are {predictor.keypoint_set.name}, those of the data "
            f"{keypoint_set.name}; a teacher needs the same ones in the same order"
        )


def label(
    persons: Persons,
    teacher: str | Path,
    keypoint_set: KeypointSet,
    confidence: float = DEFAULT_CONFIDENCE,
    everything: bool = False,
    threads: int | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Persons:
    """Fill in what is not labelled, or replace every label that the teacher is sure about.

    A filled-in keypoint weighs as much as the teacher's confidence, a replaced one is a label like any
    other. Persons who end up with no keypoint at all are left out.

    Args:
        persons: also those without any keypoint (`read_persons(labelled_only=False)`).
        teacher: a pose model, see `Predictor`; of the same keypoint set.
        keypoint_set: the persons'.
        confidence: least confidence, 0...1.
        everything: replace labels, too. People's labels scatter by several px, a teacher's answers do not;
            a small network in a short training learns more from those.
        threads: of the teacher's engine.
        track: shows progress over person numbers.

    Raises:
        InputError: the teacher has other keypoints.
    """
    keypoints, weights = persons.keypoints.copy(), persons.weights.copy()
    with Predictor(teacher, threads=threads, flip_test=True) as predictor:
        _check_keypoints(teacher, predictor, keypoint_set)
        last: Path | None = None
        for i in track(range(len(persons))):
            if persons.files[i] != last:
                last, picture = persons.files[i], read_image(persons.files[i])
            pose = predictor(picture, persons.boxes[i : i + 1])
            sure = pose.confidences[0] >= confidence
            missing = weights[i] == 0
            use = sure if everything else sure & missing
            keypoints[i, use] = pose.keypoints[0, use]
            filled = use & missing
            weights[i, filled] = pose.confidences[0, filled]
    labelled = (persons.weights > 0).any(axis=1)
    enough = (weights > 0).sum(axis=1) >= min(LEAST_KEYPOINTS, len(keypoint_set))
    enough &= box_areas(persons.boxes) >= LEAST_AREA
    return replace(persons, keypoints=keypoints, weights=weights).chosen(np.flatnonzero(labelled | enough))
