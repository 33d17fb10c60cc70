"""How is a live source that broke opened again? After growing pauses, until it answers or is given up."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

from rtmpose_sdk.errors import RTMPoseWarning, SourceError

T = TypeVar("T")
Pause = Callable[[float], object]
"""Waits so many seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts to open a broken stream again: doubled each time."""
ATTEMPTS = 8
"""Failures in a row after which a stream is given up."""


class Reopening:
    """Counts the failures of one source.

    Args:
        name: of the source, for the messages.
        stopped: set where nobody wants the source any more; ends a pause.
        pause: waits between attempts; None waits on `stopped`.
    """

    def __init__(self, name: str, stopped: threading.Event, pause: Pause | None = None) -> None:
        self._name, self._stopped = name, stopped
        self._pause: Pause = pause or stopped.wait
        self._failures = 0

    def worked(self) -> None:
        """Something came: what follows is a first failure again."""
        self._failures = 0

    def again(self, attempt: Callable[[], T], why: str) -> T | None:
        """What `attempt` opens, sooner or later; None where the source was stopped meanwhile.

        Args:
            attempt: opens the source, or raises SourceError.
            why: what went wrong before.

        Raises:
            SourceError: given up after `ATTEMPTS` failures in a row.
        """
        while not self._stopped.is_set():
            self._failures += 1
            if self._failures > ATTEMPTS:
                raise SourceError(f"{self._name}: given up after {ATTEMPTS} attempts ({why})")
            pause = min(FIRST_PAUSE * 2 ** (self._failures - 1), LONGEST_PAUSE)
            warnings.warn(f"{why}; opening it again in {pause:g} s", RTMPoseWarning, stacklevel=3)
            self._pause(pause)
            if self._stopped.is_set():
                break
            try:
                return attempt()
            except SourceError as error:
                why = str(error)
        return None
