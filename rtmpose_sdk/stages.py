"""How do the stages of a video overlap? A generator runs in a thread of its own, behind a bounded queue."""

from __future__ import annotations

import atexit
import contextlib
import math
import queue
import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEPTH = 4
"""Items that may wait between two stages: what bounds the memory."""
THREAD_NAME = "rtmpose-stage"
"""Of the threads that read ahead."""
_TICK = 0.1
"""Seconds after which a thread that waits looks whether it is still wanted."""


_EXIT_PATIENCE = 2.0
"""Seconds that each thread has to end in when the program does."""
_running: weakref.WeakSet[Background[Any]] = weakref.WeakSet()


class Background(Generic[T]):
    """An iterable that is read ahead by a thread; order is kept, its error is raised where it is read.

    Args:
        items: what to read; closed (where it can be) in the thread that reads it.
        depth: most items that wait.
        drop: throw the oldest waiting item away rather than wait: for live sources.
        on_drop: called with each item that was thrown away.
        stop: asked before each item and while waiting for one; True ends it at once.
        time_limit: seconds to wait for an item; TimeoutError after that.
    """

    def __init__(
        self,
        items: Iterable[T],
        depth: int = DEPTH,
        drop: bool = False,
        on_drop: Callable[[T], None] | None = None,
        stop: Callable[[], bool] | None = None,
        time_limit: float = math.inf,
    ) -> None:
        self._items = items
        self._stop, self._time_limit = stop, time_limit
        self._queue: queue.Queue[T] = queue.Queue(depth)
        self._drop, self._on_drop = drop, on_drop
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        _running.add(self)
        self._thread.start()

    def _work(self) -> None:
        try:
            for item in self._items:
                if self._stopped.is_set():
                    break
                self._put(item)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the items are read
            self._error = error
        finally:
            if isinstance(self._items, Generator):
                with contextlib.suppress(Exception):
                    self._items.close()
            self._done.set()

    def _put(self, item: T) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0 if self._drop else _TICK)
                return
            except queue.Full:
                if self._drop:
                    with contextlib.suppress(queue.Empty):
                        old = self._queue.get_nowait()
                        if self._on_drop is not None:
                            self._on_drop(old)

    def __iter__(self) -> Background[T]:
        return self

    def __next__(self) -> T:
        start = monotonic()
        while True:
            if self._stop is not None and self._stop():
                raise StopIteration
            try:
                return self._queue.get(timeout=min(_TICK, self._time_limit))
            except queue.Empty:
                if self._stopped.is_set():
                    raise StopIteration from None
                if self._done.is_set() and self._queue.empty():
                    if self._error is not None:
                        error, self._error = self._error, None
                        raise error from None
                    raise StopIteration from None
                if monotonic() - start >= self._time_limit:
                    raise TimeoutError(f"nothing came within {self._time_limit:g} s") from None

    def close(self, patience: float = 10.0) -> bool:
        """Stop reading; True where the thread has ended within `patience` seconds."""
        self._stopped.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ask the thread to end, without waiting for it."""
        self._stopped.set()


@atexit.register
def _end_all() -> None:
    """A thread that is still inside of an engine when Python ends would abort the process."""
    stages = list(_running)
    for stage in stages:
        stage.stop()
    for stage in stages:
        stage.close(_EXIT_PATIENCE)
