"""Which steps of a predictor and a pipeline are timed, next to the bare engine?"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.latency import Latency, OwnClock
from rtmpose_sdk.crop_mmdeploy import crop_boxes_mmdeploy
from rtmpose_sdk.decode_boxes import decode_boxes
from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.decode_simcc import Decoded, decode_simcc
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import Crops, crop_boxes
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.outputs import find_outputs
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.smoothing import Smoothing
from rtmpose_sdk.stream import DETECT_EVERY, PoseStream

Step = Callable[[], object]
SKIPPING = "pipeline, detection every "
"""Its runs differ: the median is a frame without detection, the mean is what a frame costs."""
BY_EVENTS = "bare engine, GPU events"
"""What the device itself says of a call: input up, network, outputs down."""


def pose_steps(
    predictor: Predictor, image: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> dict[str, Step]:
    """Bare engine, the whole predictor, and its parts, on the same persons.

    Raises:
        InputError: a decoder whose steps are not known here.
    """
    card, limit = predictor.card, predictor.batch_limit
    size = card.input_size
    crop = crop_boxes_mmdeploy if card.crop == "mmdeploy" else crop_boxes

    def cut() -> Crops:
        return crop(image, boxes, size, card.bbox_padding)

    crops = cut()
    count = len(boxes)
    normalize = Normalizer(card)
    tensors = [normalize(crops.images[i : i + limit]) for i in range(0, count, limit)]
    outputs = list(predictor.crop_outputs(crops.images).values())
    bare = [predictor.runtime.bare(tensor) for tensor in tensors]

    def decode() -> Decoded:
        if card.decoder == "heatmap":
            return decode_heatmap(outputs[0], size, card.heatmap_udp, card.heatmap_peak)
        return decode_simcc(outputs[0], outputs[1], card.simcc_split_ratio, card.simcc_beta)

    if card.decoder not in ("simcc", "heatmap"):
        raise InputError(
            f"{card.name}: steps of decoder '{card.decoder}' cannot be timed; simcc or heatmap can"
        )
    events = [predictor.runtime.by_events(tensor) for tensor in tensors]
    timed = [call for call in events if call is not None]
    return {
        "bare engine": bare[0] if len(bare) == 1 else lambda: [call() for call in bare],
        **({BY_EVENTS: OwnClock(lambda: sum(call() for call in timed))} if timed else {}),
        "predictor": lambda: predictor(image, boxes),
        "pre-process": lambda: normalize(cut().images),
        "crop": cut,
        "network": lambda: [predictor.runtime.run(tensor) for tensor in tensors],
        "decode": lambda: crops.to_picture(decode().keypoints),
    }


def detect_steps(detector: Detector, image: NDArray[np.uint8]) -> dict[str, Step]:
    """Bare engine, the whole detector, and its three parts."""
    card, normalize = detector.card, Normalizer(detector.card)

    def prepare() -> NDArray[np.generic]:
        canvas, _ = detector.letterbox(image)
        return normalize(canvas[None])

    tensor = prepare()
    found = detector.runtime.run(tensor)
    events = detector.runtime.by_events(tensor)
    places = find_outputs(detector.runtime.outputs, card, card.name)
    outputs = {name: found[place] for name, place in places.items()}
    return {
        "detector, bare engine": detector.runtime.bare(tensor),
        **({f"detector, {BY_EVENTS}": OwnClock(events)} if events else {}),
        "detector": lambda: detector(image),
        "detector, pre-process": prepare,
        "detector, letterbox": lambda: detector.letterbox(image),
        "detector, network": lambda: detector.runtime.run(tensor),
        "detector, decode": lambda: decode_boxes(outputs, card, detector.score_threshold),
    }


def pipeline_steps(pipeline: Pipeline, image: NDArray[np.uint8]) -> dict[str, Step]:
    """Detector and poses of everybody found; the same with skipped frames, tracks and smoothing.

    The stream sees the same picture again and again: its tracks stand still.
    """
    return {
        "pipeline": lambda: pipeline(image),
        f"{SKIPPING}{DETECT_EVERY}": SkippedFrames(pipeline.stream(DETECT_EVERY), image, DETECT_EVERY),
    }


class SkippedFrames:
    """A step, one frame of a stream a run, that keeps apart what frames with and without detection took.

    Args:
        stream: detects in its first frame, and in each that is `every` (2 or more) later.
        image: all frames.
    """

    def __init__(
        self, stream: Callable[[NDArray[np.uint8], float], object], image: NDArray[np.uint8], every: int
    ) -> None:
        self._stream, self._image, self._every = stream, image, every
        self._took: list[tuple[int, int]] = []

    def __call__(self) -> object:
        """The next frame."""
        used, start = time.process_time_ns(), time.perf_counter_ns()
        found = self._stream(self._image, (len(self._took) + 1) / 30)
        self._took.append((time.perf_counter_ns() - start, time.process_time_ns() - used))
        return found

    def weighed(self, latency: Latency) -> Latency:
        """The measured runs' figures, with mean, fps and cpu of a frame of a long video.

        The frames with detection weigh 1 / every, however many of the runs were such. A kind that none of
        them was is run now.
        """
        first = max(len(self._took) - latency.runs, 0)
        while len({place % self._every == 0 for place in range(first, len(self._took))}) < 2:
            self()
        took = np.array(self._took[first:], np.float64) / 1e6
        detected = np.arange(first, len(self._took)) % self._every == 0
        share = 1 / self._every
        mean, cpu = share * took[detected].mean(axis=0) + (1 - share) * took[~detected].mean(axis=0)
        return dataclasses.replace(latency, mean=float(mean), fps=float(1000 / mean), cpu=float(cpu))


def track_steps(pipeline: Pipeline, image: NDArray[np.uint8]) -> dict[str, Step]:
    """Identities of the persons found, without the networks; the same with smoothing. Nobody: no steps."""
    detector, keypoint_set = pipeline.detector, pipeline.top_down().keypoint_set
    assert detector is not None
    found = detector(image)
    poses = pipeline.top_down()(image, found)
    if not len(poses):
        return {}

    def pose(_: NDArray[np.uint8], wanted: Detections) -> PoseResult:
        rows = poses[np.arange(len(wanted)) % len(poses)]
        return dataclasses.replace(rows, boxes=wanted.boxes, box_scores=wanted.scores)

    steps: dict[str, Step] = {}
    for name, smoothing in (("track", None), ("track and smooth", Smoothing())):
        stream = PoseStream(lambda _: found, pose, keypoint_set, DETECT_EVERY, smoothing=smoothing)
        clock = itertools.count(1)
        steps[name] = lambda s=stream, c=clock: s(image, next(c) / 30)  # type: ignore[misc]
    return steps


def picture_steps(
    predictor: Predictor, image: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> dict[str, Step]:
    """What comes before and after: decoding a JPEG of this picture, drawing these persons."""
    data = cv2.imencode(".jpg", image)[1]
    result = predictor(image, boxes)
    return {
        "read JPEG": lambda: cv2.imdecode(data, cv2.IMREAD_COLOR),
        "draw": lambda: result.draw(image),
    }
