"""How does a network that finds persons and keypoints in one go serve a stream, which asks for boxes?"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.smoothing import Smoothing
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.tracking import Tracking

Image = NDArray[np.uint8]

AHEAD = 12
"""Frames that a detector may be ahead of the poses, at most: what `follow` lets wait."""


class _Found(Detections):
    """Boxes of the network itself, whose poses are known."""


class OneStageStream:
    """Both of a stream's networks in one: its boxes bring their poses. One for each stream.

    Args:
        find: picture (H,W,3) uint8 BGR → persons with their keypoints.
        keypoint_set: of the poses.
    """

    def __init__(self, find: Callable[[Image], PoseResult], keypoint_set: KeypointSet) -> None:
        self._find, self.keypoint_set = find, keypoint_set
        self._found: deque[tuple[Image, PoseResult]] = deque(maxlen=AHEAD)
        self._turn = threading.Lock()

    def detect(self, picture: Image) -> Detections:
        """The persons' boxes; their poses are kept until they are asked for."""
        found = self._find(picture)
        with self._turn:
            # A reused buffer is the same object with other content: what it held before is gone.
            others = [entry for entry in self._found if entry[0] is not picture]
            self._found = deque([*others, (picture, found)], maxlen=AHEAD)
        return _Found(found.boxes, found.box_scores, found.image_size)

    def pose(self, picture: Image, boxes: Detections) -> PoseResult:
        """A pose for each box, in order; one of no confidence where the network did not find the box."""
        found = self._of(picture)
        count, names = len(boxes), len(self.keypoint_set)
        keypoints = np.zeros((count, names, 2), np.float32)
        scores, confidences = np.zeros((2, count, names), np.float32)
        for row, box in enumerate(boxes.boxes):
            same = np.flatnonzero((found.boxes == box).all(axis=1))
            if len(same):
                keypoints[row] = found.keypoints[same[0]]
                scores[row] = found.keypoint_scores[same[0]]
                confidences[row] = found.confidences[same[0]]
        return PoseResult(
            *(boxes.boxes, boxes.scores, keypoints, scores, confidences),
            keypoint_set=self.keypoint_set,
            image_size=boxes.image_size,
        )

    def _of(self, picture: Image) -> PoseResult:
        with self._turn:
            for place, (known, found) in enumerate(self._found):
                if known is picture:
                    for _ in range(place):  # what came before will not be asked for any more
                        self._found.popleft()
                    return found
        return self._find(picture)


class OneStagePoseStream(PoseStream):
    """The state of one video, for a network in one stage: every frame is its own detection.

    Args:
        both: finds boxes and poses.
        name: of the network, for the error.
        tracking, smoothing: see `PoseStream`.
    """

    def __init__(
        self, both: OneStageStream, name: str, tracking: Tracking, smoothing: Smoothing | None
    ) -> None:
        super().__init__(both.detect, both.pose, both.keypoint_set, 1, tracking, smoothing)
        self._name = name

    def __call__(
        self, image: object, time: float, detections: Detections | object | None = None
    ) -> FrameResult:
        """The persons in the next frame, see `PoseStream`; `detections` are its own (`detect`), or None.

        Raises:
            InputError: boxes from elsewhere, which have no poses.
        """
        if detections is not None and not isinstance(detections, _Found):
            raise InputError(
                f"{self._name} takes no boxes: it finds persons by itself; leave out detections="
            )
        return super().__call__(image, time, detections)
