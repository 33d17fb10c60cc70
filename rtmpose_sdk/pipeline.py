"""From a picture to the poses of everybody in it (paper section 3.5)."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from rtmpose_sdk.artifacts import open_model
from rtmpose_sdk.closing import Closing
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError, RTMPoseWarning
from rtmpose_sdk.follow import Step, follow
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.one_stage import OneStage
from rtmpose_sdk.one_stage_stream import OneStagePoseStream, OneStageStream
from rtmpose_sdk.predictor import DEFAULT_BATCH_LIMIT, Predictor
from rtmpose_sdk.profile import AUTO, NetworkSettings, usable_profile
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.smoothing import DEFAULT_SMOOTHING, Smoothing
from rtmpose_sdk.sources import open_source
from rtmpose_sdk.stream import DETECT_EVERY, Detect, PoseStream
from rtmpose_sdk.tracking import Tracking, check_tracking
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, UNSAID_DETECTOR, UNSAID_POSE, existing, models_meant

DEFAULT_DETECTION_THRESHOLD = 0.3
"""Boxes below it are no persons: what MMPose's demos use with RTMDet."""

_ADVICE = {"hand": "detector='rtmdet-nano-hand', or boxes of your own (detector=None)"}


class Pipeline(Closing):
    """Detector → Predictor, or one network that does both (RTMO).

    One serves many threads. Each process opens its own: engines do not outlive a fork.

    Args:
        pose: pose model: a name ("rtmpose-m"), an artifact with a card, an MMDeploy SDK folder or archive,
            a checkpoint, an address; or a preset that names both models: "lightweight",
            "balanced", "performance"; or "auto": what `rtmpose tune` saved for this machine. "default" is
            the bundled "rtmpose-t-own", or the profile's.
        detector: the same for the detector; "auto" is the one that goes with the pose model: the preset's,
            the profile's, or the bundled "rtmdet-nano-own"; none where a model in one stage needs none.
            One that is named is used, beside a preset too. None is no detector: every call brings its
            boxes.
        device, threads, precision, engine: for both networks, see `rtmpose_sdk.runtimes.open_runtime`.
        detection_threshold: least score of a box, 0...1; None is 0.3 in pictures, and in videos what
            `Tracking` says of newcomers.
        detector_size: the detector gets pictures up to this size, (width, height) px, or one number for a
            square, where its sides are open (as the bundled one's): a smaller one is faster, a larger one
            finds smaller persons, see `rtmpose_sdk.detector.resized`. None is its card's.
        batch_limit: most persons of one call of the pose network; None is 16, or the profile's.
        flip_test: average with mirrored crops; twice the time of the pose network.
        profile: file that `rtmpose tune --out` wrote. It says the models, engines, precisions, threads,
            batch limit, detector interval and size, so none of these may be given beside it, also where
            it says what the default is.

    Attributes:
        detect_every: the interval of `stream` and `follow` where none is given.

    Raises:
        InputError: a detector or a flip test for a model in one stage; a detector's size without a
            detector, or one that it does not take; or a profile that is missing, of another machine, or of
            artifacts that changed.
    """

    def __init__(
        self,
        pose: str | Path = UNSAID_POSE,
        detector: str | Path | None = UNSAID_DETECTOR,
        device: str = "cpu",
        *,
        threads: int | None = None,
        precision: str | None = None,
        engine: str | None = None,
        detection_threshold: float | None = None,
        detector_size: int | Sequence[int] | None = None,
        batch_limit: int | None = None,
        flip_test: bool = False,
        profile: str | Path | None = None,
    ) -> None:
        self._tracking = Tracking.from_threshold(detection_threshold)
        least_score = DEFAULT_DETECTION_THRESHOLD if detection_threshold is None else detection_threshold
        self.detect_every = DETECT_EVERY
        pose_network = NetworkSettings("", engine=engine, precision=precision, threads=threads)
        finder = replace(pose_network, input_size=detector_size)
        auto = str(pose) == AUTO and existing(pose) is None
        if auto or profile is not None:
            given = {
                "pose": None if auto or pose == UNSAID_POSE else pose,
                "detector": None if detector == UNSAID_DETECTOR else detector or "None",
                "device": None if device == "cpu" else device,
                "threads": threads,
                "precision": precision,
                "engine": engine,
                "batch_limit": batch_limit,
                "flip_test": flip_test or None,
                "detector_size": detector_size,
            }
            tuned = usable_profile(profile, {name: v for name, v in given.items() if v is not None})
            pose_network, finder = tuned.pose, tuned.detector
            pose, detector = pose_network.path, finder.path
            batch_limit, self.detect_every = tuned.batch_limit, tuned.detect_every
        named = detector not in (None, UNSAID_DETECTOR)
        pose, detector = models_meant(pose, detector)
        opened = open_model(
            pose,
            "pose",
            device,
            threads=pose_network.threads,
            precision=pose_network.precision,
            engine=pose_network.engine,
        )
        self.detector: Detector | None = None
        self.predictor: Predictor | OneStage
        if opened.card.decoder == "rtmo":
            if named or flip_test or finder.input_size is not None:
                opened.runtime.close()
                raise InputError(
                    f"{opened.card.name} finds persons by itself, in one stage: leave out detector=, "
                    "detector_size= and flip_test="
                )
            self.predictor = OneStage(opened, score_threshold=least_score)
            self.predictor.gate = threading.Lock()
            return
        limit = DEFAULT_BATCH_LIMIT if batch_limit is None else batch_limit
        self.predictor = Predictor(opened, batch_limit=limit, flip_test=flip_test)
        target = self.predictor.keypoint_set.target
        if detector == DEFAULT_DETECTOR and target != "person":
            warnings.warn(
                f"{opened.card.name} expects boxes of one {target} each, but {detector} finds persons: "
                "give "
                f"{_ADVICE.get(target, 'boxes of your own (detector=None)')}",
                RTMPoseWarning,
                stacklevel=2,
            )
        try:
            if detector is not None:
                self.detector = Detector(
                    detector,
                    device,
                    threads=finder.threads,
                    precision=finder.precision,
                    engine=finder.engine,
                    score_threshold=least_score,
                    input_size=finder.input_size,
                )
            elif finder.input_size is not None:
                raise InputError(f"detector_size is {finder.input_size}, but there is no detector")
        except Exception:
            self.predictor.close()
            raise
        # Engines take turns: `threads` stays the total, and no engine runs twice at a time.
        turn = threading.Lock()
        self.predictor.gate = turn
        if self.detector is not None:
            self.detector.gate = turn

    def __call__(
        self, image: object, boxes: Detections | object | Literal["full"] | None = None
    ) -> PoseResult:
        """Poses of the persons in one picture; nobody is an empty result.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            boxes: None asks the detector; (N,4) xyxy px or Detections stand in for it; "full" takes
                the whole picture for one person.

        Raises:
            ImageError: not such a picture.
            InputError: no detector and no boxes, or boxes that are not valid.
        """
        picture = as_bgr(image)
        if isinstance(boxes, str):
            if boxes != "full":
                raise InputError(f"boxes is '{boxes}'; expected 'full', an array (N,4), or None")
            height, width = picture.shape[:2]
            boxes = np.array([[0, 0, width, height]], np.float32)
        elif boxes is None:
            if isinstance(self.predictor, OneStage):
                return self.predictor(picture)
            if self.detector is None:
                raise InputError(
                    "there is no detector and no boxes: give Pipeline(detector=...), or call with "
                    "boxes=..., or with boxes='full' where the picture shows one person"
                )
            boxes = self.detector(picture)
        if isinstance(self.predictor, OneStage):
            raise InputError(f"{self.predictor.card.name} takes no boxes: it finds persons by itself")
        return self.predictor(picture, boxes)

    def __repr__(self) -> str:
        pose, finder = self.predictor, self.detector
        found = "" if finder is None else f", detector {finder.card.name}"
        return f"<Pipeline: {pose.card.name}{found}, {pose.runtime.engine} on {pose.runtime.device}>"

    def top_down(self) -> Predictor:
        """The pose network that takes boxes.

        Raises:
            InputError: the model works in one stage and takes none.
        """
        if isinstance(self.predictor, OneStage):
            raise InputError(
                f"{self.predictor.card.name} works in one stage; a top-down model is needed here"
            )
        return self.predictor

    def stream(
        self,
        detect_every: int | None = None,
        tracking: Tracking | None = None,
        smoothing: Smoothing | None = DEFAULT_SMOOTHING,
        *,
        detect: Detect | None = None,
    ) -> PoseStream:
        """The state of one video, to be called frame by frame. Streams in many threads may share this.

        Args:
            detect_every: frames from one detection to the next; None is the profile's, or
                `DETECT_EVERY`. A model in one stage (RTMO) finds everybody in every frame: 1.
            tracking: settings of the identities; None is the defaults, for newcomers with the pipeline's
                `detection_threshold` where one was given.
            smoothing: settings of the One-Euro filter; None switches it off.
            detect: stands in for the detector: picture (H,W,3) uint8 BGR → Detections, or boxes (N,4) xyxy
                px, which count as sure. Without either each call brings its detections.

        Raises:
            InputError: a setting that cannot be.
        """
        settings = check_tracking(self._tracking if tracking is None else tracking)
        if isinstance(self.predictor, OneStage):
            if detect is not None:
                raise InputError(
                    f"{self.predictor.card.name} finds persons by itself, in one stage: leave out detect="
                )
            if detect_every not in (None, 1):
                raise InputError(
                    f"detect_every is {detect_every}, but {self.predictor.card.name} finds persons by "
                    "itself in every frame: leave it out (--detect-every)"
                )
            find = functools.partial(self.predictor, score_threshold=settings.keep_score)
            both = OneStageStream(find, self.predictor.keypoint_set)
            return OneStagePoseStream(both, self.predictor.card.name, settings, smoothing)
        predictor = self.predictor
        if detect is None and self.detector is not None:
            detect = functools.partial(self.detector, score_threshold=settings.keep_score)
        every = self.detect_every if detect_every is None else detect_every
        return PoseStream(detect, predictor, predictor.keypoint_set, every, settings, smoothing)

    def follow(
        self,
        source: object,
        detect_every: int | None = None,
        tracking: Tracking | None = None,
        smoothing: Smoothing | None = DEFAULT_SMOOTHING,
        *,
        detect: Detect | None = None,
        live: bool = False,
    ) -> Iterator[Step]:
        """Frames of a video with their results, in order; decoding, detection and pose overlap in threads.

        Args:
            source: from `open_source`, or whatever that takes: a file, a camera, an address, arrays.
                It is closed at the end.
            detect_every, tracking, smoothing: see `stream`.
            detect: see `stream`; called in a thread of its own.
            live: an iterable gives its newest frame whenever it is asked, see `open_source`.

        Raises:
            SourceError: it cannot be opened, was read already, or broke; what came before has been given.
            InputError: a setting that cannot be, or there is neither a detector nor `detect`.
        """
        stream = self.stream(detect_every, tracking, smoothing, detect=detect)
        with open_source(source, live=live) as opened:
            yield from follow(opened, stream)

    def close(self) -> None:
        """Free both engines."""
        self.predictor.close()
        if self.detector is not None:
            self.detector.close()
