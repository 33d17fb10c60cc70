"""How does a whole video go through? Decode, detection and pose overlap, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.results import Detections
from rtmpose_sdk.sources import Frame, Source
from rtmpose_sdk.stages import Background
from rtmpose_sdk.stream import PoseStream


class Step(NamedTuple):
    """One frame and what was found in it."""

    frame: Frame
    found: FrameResult


def follow(source: Source, stream: PoseStream, overlap: bool = True) -> Generator[Step]:
    """Frames of a source with their results, in order.

    Files are read frame by frame; a live source's oldest waiting frames are dropped where we are slower.

    Args:
        source: from `open_source`.
        stream: the state of this video.
        overlap: False does everything in the caller's thread.

    Raises:
        SourceError: the source broke; what came before has been yielded.
    """
    if not overlap:
        for frame in source:
            yield Step(frame, stream(frame.image, frame.time))
        return
    frames = Background(source.frames(), drop=source.live)
    looked = Background(_look_ahead(frames, stream))
    steps = Background(_infer(looked, stream))
    try:
        yield from steps
    finally:
        for stage in (frames, looked, steps):
            stage.close()


def _look_ahead(frames: Iterator[Frame], stream: PoseStream) -> Generator[tuple[Frame, Detections | None]]:
    first = stream.count
    for number, frame in enumerate(frames, first):
        yield frame, stream.detect(frame.image) if stream.is_due(number) else None


def _infer(looked: Iterator[tuple[Frame, Detections | None]], stream: PoseStream) -> Generator[Step]:
    for frame, detections in looked:
        yield Step(frame, stream(frame.image, frame.time, detections))
