"""Has somebody asked the command to end? Ctrl-C and SIGTERM, so that what is done is kept."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Stop:
    """Should the frames, or pictures, end? Called between them, and while one is waited for.

    Attributes:
        asked: by Ctrl-C or SIGTERM.
        ended: nobody takes them any more.
    """

    def __init__(self) -> None:
        self.asked = self.ended = False

    def __call__(self) -> bool:
        """Either."""
        return self.asked or self.ended


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM ask, so that the frames in work are written; a second one ends at once."""
    stop = Stop()

    def note(number: int, _: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
