"""Sources with real files and real connections, good ones and ones broken in real ways."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rtmpose_sdk import open_source
from rtmpose_sdk.camera import CameraSource
from rtmpose_sdk.errors import ImageError, InputError, SourceError
from rtmpose_sdk.sources import Frame, without_login
from rtmpose_sdk.stages import Background
from rtmpose_sdk.videos import VideoSource

av = pytest.importorskip("av")


def picture(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A bright square whose place tells the number; darker on the right."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[8:24, 4 * index % 48 : 4 * index % 48 + 12] = (40, 40, 230)
    return image


def make_video(
    path: Path,
    times: list[float],
    rotation: int = 0,
    codec: str = "mpeg4",
    size: tuple[int, int] = (64, 48),
    format: str | None = None,
    **options: str,
) -> Path:
    with av.open(str(path), "w", format, options=options) as out:
        stream = out.add_stream(codec, rate=30)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        clock = Fraction(1, 30) if codec == "mpeg2video" else Fraction(1, 1000)  # MPEG-2 has few rates
        stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        for index, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="bgr24")
            frame.pts, frame.time_base = round(seconds / clock), clock
            out.mux(stream.encode(frame))
        if not times:
            out.start_encoding()
            return path
        out.mux(stream.encode(None))
    return path


def test_a_file_of_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.05, 0.2, 0.21, 0.7]
    with open_source(make_video(tmp_path / "v.mkv", times)) as source:
        frames = list(source)
    assert not source.live
    np.testing.assert_allclose([f.time for f in frames], times, atol=1e-3)
    assert [f.index for f in frames] == list(range(6))
    for i, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3)
        red = frame.image[16].astype(int)
        assert abs(int(np.argmax(red[:, 2] - red[:, 0] > 90)) - 4 * i) <= 2  # the right picture, BGR
    counted = [f.time for f in open_source(tmp_path / "v.mkv", fps=10)]
    np.testing.assert_allclose(counted, np.arange(6) / 10)


def test_a_part_of_a_video_keeps_numbers_and_times(tmp_path: Path) -> None:
    file = make_video(tmp_path / "v.mkv", [i / 10 for i in range(20)])
    frames = list(open_source(file, start=0.5, end=1.5, stride=3))
    assert [f.index for f in frames] == [5, 8, 11, 14]
    np.testing.assert_allclose([f.time for f in frames], [0.5, 0.8, 1.1, 1.4], atol=1e-3)
    for wrong in ({"stride": 0}, {"start": -1.0}, {"start": 2.0, "end": 1.0}, {"fps": 0.0}):
        with pytest.raises(InputError):
            open_source(file, **wrong)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_video_comes_upright(tmp_path: Path, rotation: int) -> None:
    """The display matrix turns counter-clockwise, as numpy does."""
    times = [i / 10 for i in range(3)]
    (stored, *_) = open_source(make_video(tmp_path / "stored.mp4", times))
    (frame, *_) = open_source(make_video(tmp_path / "v.mp4", times, rotation=rotation))
    np.testing.assert_array_equal(frame.image, np.rot90(stored.image, rotation // 90))


def test_pictures_and_arrays(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), picture(ord(name[0])))
    for what in (tmp_path, str(tmp_path / "*.png")):
        frames = list(open_source(what, fps=10))
        np.testing.assert_array_equal(frames[0].image, picture(ord("a")))
        assert [f.time for f in frames] == [0.0, 0.1]
    arrays = list(open_source((picture(i) for i in range(3)), fps=5))
    assert [f.time for f in arrays] == [0.0, 0.2, 0.4]
    timed = list(open_source([(1.5, picture(0)), (1.7, picture(1))]))
    assert [f.time for f in timed] == [1.5, 1.7]
    with pytest.raises(ImageError, match="frame 1"):
        list(open_source([picture(0), "no picture"]))


def test_standard_input(tmp_path: Path) -> None:
    file = make_video(tmp_path / "v.mkv", [i / 10 for i in range(5)])
    code = "from rtmpose_sdk import open_source\nprint(len(list(open_source('-'))))"
    with file.open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=stream,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert done.stdout.strip() == "5", done.stderr


@pytest.mark.parametrize(
    ("share", "said"), [(1, "180"), (0.5, "SourceError: standard input: cannot be opened")]
)
def test_an_mp4_from_a_pipe(tmp_path: Path, share: float, said: str) -> None:
    """Its index stands at the end, and nobody goes back in a pipe; it is longer than what FFmpeg keeps."""
    file = make_video(tmp_path / "v.mp4", [i / 30 for i in range(180)], size=(640, 480))
    data = file.read_bytes()
    assert data.index(b"mdat") < 100 < 60_000 < data.index(b"moov")
    code = "from rtmpose_sdk import open_source\nwith open_source('-') as given: print(len(list(given)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=data[: round(share * len(data))],
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert said in (done.stdout + done.stderr).decode()
    assert b"Warning" not in done.stderr


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video at all")
    whole = make_video(tmp_path / "v.mp4", [i / 30 for i in range(90)]).read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])  # an MP4's index stands at its end
    with av.open(str(tmp_path / "sound.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        out.mux(stream.encode(sound))
    none = make_video(tmp_path / "none.mkv", [])
    for name, message in (
        ("empty.mp4", "empty.mp4: the file is empty"),
        ("text.mp4", r"text.mp4: cannot be opened as a video \(Invalid data"),
        ("headless.mp4", "headless.mp4: cannot be opened as a video.*truncated"),
        ("sound.wav", "there is no video in it, only audio"),
        ("none.mkv", "there is not one frame in it|cannot be opened as a video"),
        ("missing.mp4", "no such file or folder"),
        ("*.avi", "no pictures there"),
    ):
        with pytest.raises(SourceError, match=message):
            list(open_source(tmp_path / name))
    assert none.exists()
    with pytest.raises(SourceError, match="camera 97 cannot be opened"):
        open_source(97)
    with pytest.raises(InputError, match="a source is a NoneType"):
        open_source(None)


def test_a_truncated_file_gives_what_it_has(tmp_path: Path) -> None:
    """The index is at the front (faststart), the pictures end early."""
    file = make_video(tmp_path / "v.mp4", [i / 30 for i in range(90)], movflags="faststart")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 6 // 10])
    frames: list[Frame] = []
    with pytest.raises(SourceError, match=r"v\.mp4: (ends after \d+ of 90 frames|broken after \d+ frames)"):
        frames.extend(open_source(file))
    assert 20 < len(frames) < 90


def test_a_file_trimmed_without_encoding_is_whole(tmp_path: Path) -> None:
    """As `ffmpeg -ss 0.5 -c copy` does: an edit list hides the frames before 0.5 s."""
    file = make_video(tmp_path / "v.mp4", [i / 30 for i in range(90)])
    with av.open(str(file)) as given, av.open(str(tmp_path / "trim.mp4"), "w") as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.dts is None:
                continue
            back = round(0.5 / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - back, packet.dts - back, copy
            out.mux(packet)
    for fps in (None, 30):
        with open_source(tmp_path / "trim.mp4", fps) as source:
            assert source.length == 90
            frames = list(source)
        assert len(frames) == 75
        assert frames[-1].time == pytest.approx(74 / 30, abs=0.01)


def test_a_file_without_time_stamps_begins_at_zero(tmp_path: Path) -> None:
    file = make_video(tmp_path / "v.h264", [i / 30 for i in range(40)], codec="libx264", format="h264")
    with open_source(file) as source:
        rate = source.fps
        assert rate
        times = [frame.time for frame in source]
    np.testing.assert_allclose(times, np.arange(40) / rate, atol=1e-6)


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


def test_one_picture_is_no_video() -> None:
    with pytest.raises(InputError, match=r"one array of shape \(48, 64, 3\); expected several pictures"):
        open_source(picture(0))
    assert len(list(open_source(np.stack([picture(0), picture(1)])))) == 2


def test_one_array_may_be_used_for_every_picture() -> None:
    def frames() -> Iterator[np.ndarray]:
        buffer = np.zeros((48, 64, 3), np.uint8)
        for value in range(20):
            buffer[:] = value
            yield buffer

    read_ahead = list(open_source(frames()))
    assert [int(frame.image[0, 0, 0]) for frame in read_ahead] == list(range(20))
    kept = [picture(0)]
    [frame] = open_source(kept)
    assert np.shares_memory(frame.image, kept[0])


@pytest.mark.parametrize("rate", [10.0, 23.976, 29.97, 59.94])
def test_a_part_begins_where_a_time_was_written(rate: float) -> None:
    pictures = [picture(0)] * 60
    with open_source(pictures, fps=rate) as source:
        times = [frame.time for frame in source]
    for first in range(0, 60, 7):
        said = round(times[first], 6)
        with open_source(pictures, fps=rate, start=said) as source:
            assert next(iter(source)).index == first
        if first:
            with open_source(pictures, fps=rate, end=said) as source:
                assert [frame.index for frame in source][-1] == first - 1


def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    file = make_video(tmp_path / "v.ts", [i / 10 for i in range(5)])
    pipe = tmp_path / "p.ts"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(file.read_bytes()))
    writer.start()
    with open_source(pipe) as source:
        assert len(list(source)) == 5
    writer.join()


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


def test_a_codec_that_is_not_there(tmp_path: Path) -> None:
    file = make_video(tmp_path / "v.avi", [i / 30 for i in range(5)])
    file.write_bytes(file.read_bytes().replace(b"FMP4", b"XYZ9"))
    with pytest.raises(SourceError, match=r"no decoder for its codec"):
        list(open_source(file))


def test_times_that_go_back(tmp_path: Path) -> None:
    """Two recordings in one transport stream: the second begins at its own zero."""
    pair = [make_video(tmp_path / f"{n}.ts", [i / 30 for i in range(6)], codec="mpeg2video") for n in "ab"]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(p.read_bytes() for p in pair))
    frames: list[Frame] = []
    with pytest.raises(SourceError, match=r"time stamps go back at frame [456] .*--fps"):
        frames.extend(open_source(joined))
    assert len(frames) >= 4
    assert len(list(open_source(joined, fps=30))) >= 10


@pytest.fixture
def serve() -> Iterator[object]:
    """Start an HTTP server on this machine that answers with the given function."""
    servers = []

    def start(answer: object) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/live"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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
    assert list(source) == []
    source.close()
    assert not camera.released
    hang.set()


def test_a_camera_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Camera(0, hang))
    start = time.monotonic()
    with pytest.raises(SourceError, match=r"camera 0 gives no picture within 0\.2 s after 0"):
        list(CameraSource(0, time_limit=0.2))
    assert time.monotonic() - start < 10
    hang.set()


def test_equal_time_stamps_are_moved_apart(tmp_path: Path) -> None:
    """What a coarse clock makes of 60 fps: pairs of frames with one time."""
    source = open_source(make_video(tmp_path / "v.mkv", [0.0]))
    stamps = [0, 0, 33, 33, 33, 67]

    def decode(_: object) -> Iterator[object]:
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(picture(0), format="bgr24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            yield frame

    source._container = SimpleNamespace(decode=decode, close=source._container.close)
    times = [f.time for f in source]
    source.close()
    np.testing.assert_allclose(times, [0, 0.001, 0.033, 0.034, 0.035, 0.067], atol=1e-6)
    assert (np.diff(times) > 0).all()


def test_pictures_in_natural_order_and_in_folders_below(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / "a" / f"f{number}.png"), picture(number))
    files = [tmp_path / "a" / name for name in ("f1.png", "f10.png", "f2.png")]
    for what in (tmp_path / "a", str(tmp_path / "**" / "*.png"), files):
        for number, frame in zip((1, 2, 10), open_source(what), strict=True):
            np.testing.assert_array_equal(frame.image, picture(number))


def test_a_file_whose_frame_size_changes(tmp_path: Path) -> None:
    """Two recordings of different sizes in one transport stream, as a broadcast switches."""
    first = make_video(tmp_path / "a.ts", [i / 30 for i in range(8)], codec="mpeg2video")
    large = make_video(tmp_path / "b.ts", [2 + i / 30 for i in range(8)], codec="mpeg2video", size=(96, 64))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + large.read_bytes())
    frames = list(open_source(joined, fps=30))
    sizes = [f.image.shape[:2] for f in frames]
    assert sizes == sorted(sizes)
    assert {(48, 64), (64, 96)} == set(sizes)


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
