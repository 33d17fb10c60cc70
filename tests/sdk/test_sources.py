"""Sources with real files and pipes: the right pictures, in order, upright, each at its time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk import open_source
from rtmpose_sdk.errors import ImageError, InputError

from .conftest import make_video, picture

av = pytest.importorskip("av")


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
    for wrong, message in (
        ({"stride": 0}, "stride 0; expected"),
        ({"start": -1.0}, "start -1.0 s"),
        ({"start": 2.0, "end": 1.0}, "start 2.0 s, end 1.0 s"),
        ({"fps": 0.0}, "fps is 0.0"),
    ):
        with pytest.raises(InputError, match=message):
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
    writer.join(timeout=60)
    assert not writer.is_alive()


def test_pictures_in_natural_order_and_in_folders_below(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / "a" / f"f{number}.png"), picture(number))
    files = [tmp_path / "a" / name for name in ("f1.png", "f10.png", "f2.png")]
    for what in (tmp_path / "a", str(tmp_path / "**" / "*.png"), files):
        for number, frame in zip((1, 2, 10), open_source(what), strict=True):
            np.testing.assert_array_equal(frame.image, picture(number))
