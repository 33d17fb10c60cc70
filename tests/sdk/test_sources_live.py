"""Streams and cameras that are silent, get lost and come back; their logins stay hidden."""

from __future__ import annotations

import itertools
import socket
import threading
import time
import warnings
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk import open_source
from rtmpose_sdk.camera import CameraSource
from rtmpose_sdk.errors import SourceError
from rtmpose_sdk.sources import Frame, without_login
from rtmpose_sdk.videos import VideoSource

from .conftest import make_video, picture

pytest.importorskip("av")


def test_a_camera_addresss_login_is_not_shown() -> None:
    address = "rtsp://admin:s3cr@t@127.0.0.1:9/h264?user=a@b"
    assert without_login(address) == "rtsp://127.0.0.1:9/h264?user=a@b"
    assert without_login("rtsp://127.0.0.1:9/a@b") == "rtsp://127.0.0.1:9/a@b"
    with pytest.raises(SourceError) as caught:
        open_source(address, time_limit=1.0)
    assert "s3cr" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


def test_a_login_is_not_shown_in_capitals_either() -> None:
    assert without_login("RTSP://user:secret@host/a") == "RTSP://host/a"
    with pytest.raises(SourceError) as error:
        open_source("HTTP://user:secret@127.0.0.1:9/a", time_limit=1)
    assert "secret" not in str(error.value)
    assert "no such file" not in str(error.value)


def test_a_stream_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(SourceError, match=r"no answer within 0\.5 s; check the address"):
            open_source(f"http://127.0.0.1:{silent.getsockname()[1]}/x", time_limit=0.5)
        assert time.monotonic() - start < 5


def test_nobody_at_the_address() -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source("http://127.0.0.1:9/x", time_limit=2)


def test_a_broken_stream_is_opened_again(tmp_path: Path, serve: object) -> None:
    data = make_video(tmp_path / "v.ts", [i / 30 for i in range(12)], codec="mpeg2video").read_bytes()
    calls = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)

    with open_source(serve(answer), time_limit=3) as source:
        assert source.live
        with pytest.warns(UserWarning, match=r"opening it again in 0\.5 s"):
            frames = list(islice(source, 20))
    assert len(calls) >= 2
    assert [f.index for f in frames] == list(range(20))
    assert (np.diff([f.time for f in frames]) > 0).all()


def keep(waited: list[float]) -> Callable[[float], None]:
    """A pause that only takes note."""
    return waited.append


def test_attempts_that_fail_in_a_row_are_counted(tmp_path: Path, serve: object) -> None:
    """The server answers, is away twice, and is back: two growing pauses, then the stream goes on."""
    data = make_video(tmp_path / "v.ts", [i / 30 for i in range(12)], codec="mpeg2video").read_bytes()
    calls: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        handler.send_response(404 if len(calls) in (2, 3) else 200)
        handler.end_headers()
        handler.wfile.write(data if len(calls) not in (2, 3) else b"")

    waited: list[float] = []
    source = VideoSource(serve(answer), None, 3.0, True, None, keep(waited))
    with pytest.warns(UserWarning, match="opening it again"):
        frames = list(islice(source, 20))
    source.close()
    assert waited == [0.5, 1.0, 2.0]
    assert [f.index for f in frames] == list(range(20))
    assert (np.diff([f.time for f in frames]) > 0).all()


def test_a_stream_that_stays_away_is_given_up(tmp_path: Path, serve: object) -> None:
    data = make_video(tmp_path / "v.ts", [i / 30 for i in range(12)], codec="mpeg2video").read_bytes()
    calls: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        handler.send_response(200 if len(calls) == 1 else 404)
        handler.end_headers()
        handler.wfile.write(data if len(calls) == 1 else b"")

    waited: list[float] = []
    frames: list[Frame] = []
    source = VideoSource(serve(answer), None, 3.0, True, None, keep(waited))
    with pytest.warns(UserWarning), pytest.raises(SourceError, match="given up after 8 attempts"):  # noqa: PT030
        frames.extend(source)
    assert waited == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert len(frames) > 8


def test_an_interrupted_pause_ends(tmp_path: Path, serve: object) -> None:
    data = make_video(tmp_path / "v.ts", [i / 30 for i in range(12)], codec="mpeg2video").read_bytes()
    calls: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)

    source = VideoSource(serve(answer), None, 3.0, True, None, lambda _: source.interrupt())
    with pytest.warns(UserWarning, match="opening it again"):
        assert len(list(source)) > 8
    assert len(calls) == 1


class Camera:
    """Stands in for OpenCV's: gives `pictures`, then nothing."""

    def __init__(self, pictures: int, hang: threading.Event | None = None) -> None:
        self.left, self.hang, self.released = pictures, hang, False

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.left > 0 or self.hang is not None

    def set(self, *_: object) -> None:
        pass

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.hang is not None:
            self.hang.wait(60)
        self.left -= 1
        return self.left >= 0, picture(0)

    def release(self) -> None:
        self.released = True


def test_a_lost_camera_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = [Camera(1), Camera(0), Camera(1)]
    opened = iter([*cameras, *(Camera(0) for _ in range(20))])
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: next(opened))
    waited: list[float] = []
    frames: list[Frame] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(SourceError, match="given up"):
            frames.extend(CameraSource(0, pause=keep(waited)))
    assert waited[:4] == [0.5, 1.0, 0.5, 1.0]
    assert [f.index for f in frames] == [0, 1]
    assert frames[1].time > frames[0].time
    assert all(c.released for c in cameras)


def test_a_slow_reader_sees_which_pictures_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Camera(10_000))
    with CameraSource(0, reopen=False) as source:
        seen = []
        for frame in source:
            seen.append((frame.index, frame.time))
            time.sleep(0.02)
            if len(seen) == 4:
                break
    numbers = [number for number, _ in seen]
    assert numbers == sorted(set(numbers))
    assert numbers[3] > 3  # this camera waits for nobody
    assert all(0 <= a < b for (_, a), (_, b) in itertools.pairwise(seen))


def test_an_interrupted_camera_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    camera = Camera(0, hang)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: camera)
    source = CameraSource(0, time_limit=60)
    threading.Timer(0.3, source.interrupt).start()
    try:
        assert list(source) == []
        source.close()
        assert not camera.released
    finally:
        hang.set()


def test_a_camera_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Camera(0, hang))
    try:
        start = time.monotonic()
        with pytest.raises(SourceError, match=r"camera 0 gives no picture within 0\.2 s after 0"):
            list(CameraSource(0, time_limit=0.2))
        assert time.monotonic() - start < 10
    finally:
        hang.set()
