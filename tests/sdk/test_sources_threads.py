"""A source read in a thread: what is dropped, where errors come, and how it is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtmpose_sdk.errors import SourceError
from rtmpose_sdk.stages import Background
from rtmpose_sdk.videos import VideoSource

from .conftest import make_video

pytest.importorskip("av")


def test_nothing_is_read_of_what_was_closed(tmp_path: Path) -> None:
    source = VideoSource(str(make_video(tmp_path / "v.mp4", [0.0, 0.1])), None, 10, False, 1)
    for _ in range(200):
        closed, wrong = threading.Event(), []

        def decode(_: object, closed: threading.Event = closed, wrong: list = wrong) -> Iterator[int]:
            while True:
                if closed.is_set():
                    wrong.append("read after it was closed")
                yield 1

        def close(closed: threading.Event = closed, wrong: list = wrong) -> None:
            if not source._reading.locked():
                wrong.append("closed without the lock")
            closed.set()

        source._stopped.clear()
        source._container = SimpleNamespace(decode=decode, close=close)
        reader = threading.Thread(target=lambda: list(source._pictures()))
        reader.start()
        source.close()
        reader.join(10)
        assert not reader.is_alive()
        assert wrong == []


def test_files_never_drop_and_live_sources_do() -> None:
    def quick(count: int) -> Iterator[int]:
        yield from range(count)

    def slowly(items: Background[int]) -> list[int]:
        got = []
        for item in items:
            got.append(item)
            time.sleep(0.002)
        return got

    assert slowly(Background(quick(60), depth=3)) == list(range(60))
    dropped: list[int] = []
    live = slowly(Background(quick(60), depth=3, drop=True, on_drop=dropped.append))
    assert sorted(live + dropped) == list(range(60))
    assert live == sorted(live)
    assert live[-1] == 59
    assert len(live) < 60


def test_an_error_comes_after_what_was_before_it() -> None:
    def breaks() -> Iterator[int]:
        yield from range(5)
        raise SourceError("broken")

    got: list[int] = []
    stage = Background(breaks(), depth=2)
    with pytest.raises(SourceError, match="broken"):
        got.extend(stage)
    assert got == list(range(5))
    stage.close()


def test_closing_early_ends_the_thread() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    stage = Background(endless(), depth=2)
    next(stage)
    stage.close()
    assert closed == [True]
    assert not stage._thread.is_alive()
