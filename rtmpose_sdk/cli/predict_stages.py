"""How are a video's frames drawn and written? Each in a thread of its own, behind those of the networks."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.cli.stopping import Stop
from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.follow import Step
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.sources import Frame
from rtmpose_sdk.stages import Background
from rtmpose_sdk.video_writer import VideoWriter
from rtmpose_sdk.writers import Writer


class Finished(NamedTuple):
    """A frame that was drawn (where that is needed) and written."""

    frame: Frame
    found: FrameResult
    picture: NDArray[np.uint8] | None


def finish(
    steps: Generator[Step], painter: Painter | None, writers: list[Writer], depth: int, stop: Stop
) -> Generator[Finished]:
    """Draw and write what `follow` gives, in order; `seconds` of a result get draw and write.

    Args:
        steps: frames with their results; they end when `stop` says so.
        painter: draws each frame once; None draws nothing.
        writers: take each frame; a VideoWriter takes the drawn one.
        depth: frames that may wait before each of the two.
        stop: is told when this ends early.

    Raises:
        SourceError, OutputError: see there; the frames before were written.
    """
    drawn = Background(_draw(steps, painter), depth)
    written = Background(_write(drawn, writers), depth)
    try:
        yield from written
    finally:
        stop.ended = True
        drawn.close()
        written.close()


def _draw(steps: Generator[Step], painter: Painter | None) -> Generator[Finished]:
    with contextlib.closing(steps):
        for frame, found in steps:
            start = perf_counter()
            picture = None if painter is None else painter(frame.image, found.poses, found.time)
            found.seconds["draw"] = perf_counter() - start
            yield Finished(frame, found, picture)


def _write(drawn: Iterator[Finished], writers: list[Writer]) -> Generator[Finished]:
    for one in drawn:
        start = perf_counter()
        for writer in writers:
            if isinstance(writer, VideoWriter) and one.picture is not None:
                writer.write(Frame(one.picture, one.frame.index, one.frame.time), one.found)
            else:
                writer.write(one.frame, one.found)
        one.found.seconds["write"] = perf_counter() - start
        yield one
