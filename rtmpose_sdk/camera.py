"""How is a camera of this machine read? With a time limit, and opened again where it was lost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import SourceError
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.reopening import Pause, Reopening
from rtmpose_sdk.sources import Frame, Source
from rtmpose_sdk.stages import Background


class CameraSource(Source):
    """A camera of this machine, by its number; through OpenCV, which knows them on every system. Read once.

    Args:
        number: 0 is the first.
        time_limit: seconds to wait for a picture.
        reopen: try a camera that was lost again, with growing pauses.
        pause: waits between attempts; None sleeps, and wakes up when it is interrupted.

    Raises:
        SourceError: it cannot be opened.
    """

    live = True

    def __init__(
        self, number: int, time_limit: float = 10.0, reopen: bool = True, pause: Pause | None = None
    ) -> None:
        super().__init__(f"camera {number}")
        self._number, self._time_limit, self._reopen = number, time_limit, reopen
        self._stopped = threading.Event()
        self._again = Reopening(self.name, self._stopped, pause)
        self._hangs = False
        self._start: float | None = None
        self._camera = self._open()

    def _open(self) -> cv2.VideoCapture:
        camera = cv2.VideoCapture(self._number)
        if not camera.isOpened():
            camera.release()
            raise SourceError(
                f"{self.name} cannot be opened; expected the number of a camera of this machine "
                "(0 is the first) that no other program uses"
            )
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return camera

    def frames(self) -> Iterator[Frame]:
        """Frames as they come, timed by this machine's clock; a lost camera is opened again.

        Raises:
            SourceError: no picture within the time limit, or the camera stays lost.
        """
        index = count = 0
        while True:
            pictures = Background(
                self._pictures(index), 1, drop=True, stop=self._stopped.is_set, time_limit=self._time_limit
            )
            try:
                for number, taken, image in pictures:
                    yield Frame(image, number, taken)
                    index, count = number + 1, count + 1
                    self._again.worked()
            except TimeoutError:
                raise SourceError(
                    f"{self.name} gives no picture within {self._time_limit:g} s after {count}; plug it in "
                    "again, or wait longer (--time-limit)"
                ) from None
            finally:
                self._hangs = not pictures.close(patience=1.0)
            why = f"{self.name} gives no pictures any more after {count}; was it unplugged?"
            if self._stopped.is_set():
                return
            if not self._reopen:
                raise SourceError(why)
            self._camera.release()
            opened = self._again.again(self._open, why)
            if opened is None:
                return
            self._camera = opened

    def _pictures(self, first: int) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Numbers from `first` on, seconds since picture 0, pictures; to the last that it gives."""
        for number in itertools.count(first):
            if self._stopped.is_set():
                return
            got, image = self._camera.read()
            if not got:
                return
            now = perf_counter()  # monotonic has steps of 16 ms on Windows
            self._start = now if self._start is None else self._start
            yield number, now - self._start, as_bgr(image)

    def interrupt(self) -> None:
        """End `frames` after the read or in the pause that it is in."""
        self._stopped.set()

    def close(self) -> None:
        """Give the camera back; one that hangs in a read is left to the system."""
        super().close()
        self.interrupt()
        if not self._hangs:
            self._camera.release()
