"""How does a whole video go through? Decode, detection and pose overlap, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.sources import Frame, Source
from rtmpose_sdk.stages import DEPTH, Background
from rtmpose_sdk.stream import PoseStream

T = TypeVar("T")

LIVE_DEPTH = 1
"""Items that may wait between two stages of a live source: what bounds how far it lags behind."""
LIVE_PATIENCE = 1.0
"""Seconds to wait at the end for a live source that may never answer."""


class Step(NamedTuple):
    """One frame and what was found in it."""

    frame: Frame
    found: FrameResult

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row for each person; `frame` and `time` are the source's.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from rtmpose_sdk.tables import to_dataframe

        return to_dataframe([self])

    def to_supervision(self) -> Any:
        """`supervision.KeyPoints`, see `PoseResult.to_supervision`."""
        return self.found.to_supervision()


class _Looked(NamedTuple):
    """A frame on its way to the pose network, and what the stages before it took, s."""

    frame: Frame
    decoding: float
    detections: object = None
    detecting: float = 0.0


def follow(
    source: Source,
    stream: PoseStream,
    overlap: bool = True,
    stop: Callable[[], bool] | None = None,
) -> Generator[Step]:
    """Frames of a source with their results, in order.

    Files are read frame by frame, and the detector looks ahead. Of a live source only the newest frame
    waits for the networks: where we are slower, older ones are dropped, and we stay a few frames behind.

    Args:
        source: from `open_source`.
        stream: the state of this video.
        overlap: False does everything in the caller's thread.
        stop: asked before each frame and while a source keeps us waiting; True ends the frames.

    Raises:
        SourceError: the source was read already, or broke; what came before has been yielded.
        InputError: the stream has no detector.
    """
    if stream.detect is None:
        raise InputError("nothing finds the persons: give Pipeline(detector=...), or follow(detect=...)")
    if not overlap:
        for one in _decode(source):
            if stop is not None and stop():
                return
            yield _step(one, stream)
        return
    stages: list[Background[Any]] = []

    def background(items: Iterator[T], depth: int, **options: Any) -> Background[T]:
        stage = Background(items, depth, **options)
        stages.append(stage)
        return stage

    try:
        if source.live:  # a detector that looks ahead would hold an older frame
            newest = background(_decode(source), LIVE_DEPTH, drop=True, stop=stop)
            yield from background(_infer(newest, stream), LIVE_DEPTH)
        else:
            looked = background(_look_ahead(background(_decode(source), DEPTH), stream), DEPTH, stop=stop)
            yield from background(_infer(looked, stream), DEPTH)
    finally:
        source.interrupt()
        for stage in stages:
            stage.close(*([LIVE_PATIENCE] if source.live or source.waits else []))


def _decode(source: Source) -> Generator[_Looked]:
    frames, start = iter(source), perf_counter()
    for frame in frames:
        yield _Looked(frame, perf_counter() - start)
        start = perf_counter()


def _look_ahead(frames: Iterator[_Looked], stream: PoseStream) -> Generator[_Looked]:
    first, detect = stream.count, stream.detect
    assert detect is not None
    for number, looked in enumerate(frames, first):
        if not stream.is_due(number):
            yield looked
            continue
        start = perf_counter()
        found = detect(looked.frame.image)
        yield looked._replace(detections=found, detecting=perf_counter() - start)


def _infer(looked: Iterator[_Looked], stream: PoseStream) -> Generator[Step]:
    for one in looked:
        yield _step(one, stream)


def _step(looked: _Looked, stream: PoseStream) -> Step:
    frame = looked.frame
    found = stream(frame.image, frame.time, looked.detections)
    found.seconds["detect"] += looked.detecting
    found.seconds["decode"] = looked.decoding
    return Step(frame, found)
