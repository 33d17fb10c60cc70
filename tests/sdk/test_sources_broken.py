"""What becomes of files that are no videos, or are broken or odd in real ways?"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rtmpose_sdk import open_source
from rtmpose_sdk.errors import InputError, SourceError
from rtmpose_sdk.sources import Frame

from .conftest import make_video, picture

av = pytest.importorskip("av")


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
