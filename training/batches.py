"""Who makes the batches while the network works?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

MOST_THREADS = 8


def batch_threads(device: str, cores: int, processes: int) -> int:
    """Threads that make batches, in each process.

    Args:
        device: that trains; a CPU's cores are busy with the network, and one thread keeps up with it.
        cores: that this machine lends.
        processes: that train on it.
    """
    return 1 if device == "cpu" else min(max(cores // processes - 1, 1), MOST_THREADS)


class Batches:
    """Batches in order, made ahead by other threads (OpenCV and torch release the lock).

    Which thread makes a batch changes nothing: it depends on the step's number alone.

    Args:
        make: gives the batch of a step.
        begin, end: the steps.
        threads: that make batches; as many batches and one more wait.
    """

    def __init__(self, make: Callable[[int], Any], begin: int, end: int, threads: int) -> None:
        self._make, self._ahead = make, threads + 1
        self._range = range(begin, end)
        self._pool = ThreadPoolExecutor(threads, "batches")

    def __enter__(self) -> Iterator[tuple[int, Any]]:
        return self._iterate()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _iterate(self) -> Iterator[tuple[int, Any]]:
        waiting = deque(self._pool.submit(self._make, step) for step in self._range[: self._ahead])
        for step in self._range:
            following = step + self._ahead
            if following in self._range:
                waiting.append(self._pool.submit(self._make, following))
            yield step, waiting.popleft().result()
