"""`--resume` beside another run, and with another video; writers that begin at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk import FrameResult, PoseResult, open_source
from rtmpose_sdk.benchmarks.scenes import COCO
from rtmpose_sdk.cli.predict_resume import After, Earlier
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.parquet_writer import ParquetWriter
from rtmpose_sdk.sources import Frame, Source
from rtmpose_sdk.writers import CocoWriter, CsvWriter, JsonLinesWriter, Writer

av = pytest.importorskip("av")
BIN = Path(sys.executable).parent
SMALL, LARGE = (64, 48), (96, 64)


def source(count: int, size: tuple[int, int] = SMALL, rate: float = 10, **options: object) -> Source:
    return open_source([np.zeros((size[1], size[0], 3), np.uint8)] * count, fps=rate, **options)


def write(writer: Writer, frames: Source) -> None:
    with writer:
        for frame in frames:
            size = (frame.image.shape[1], frame.image.shape[0])
            poses = PoseResult.empty(COCO, size)
            writer.write(frame, FrameResult(poses, frame.time, frame.index, True, False))


def resumed(lines: Path, again: Source) -> list[int]:
    return [frame.index for frame in After(again, Earlier(lines, COCO))]


def test_the_same_video_goes_on(tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    write(JsonLinesWriter(lines), source(20, start=0.2, end=1.0, stride=2))  # 2, 4, 6, 8
    assert resumed(lines, source(20, start=0.2, stride=2)) == [10, 12, 14, 16, 18]
    assert resumed(lines, source(20, stride=2)) == [10, 12, 14, 16, 18]  # it may begin elsewhere
    assert resumed(lines, source(20, start=0.8, stride=5)) == [13, 18]  # nothing tells that it was 2
    assert resumed(lines, source(20, end=0.9, stride=2)) == []
    write(JsonLinesWriter(tmp_path / "none.jsonl"), source(0))
    assert resumed(tmp_path / "none.jsonl", source(3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("again", "what"),
    [
        (lambda: source(20, LARGE), "its frame 8 is 96x64 px, there 64x48 px"),
        (lambda: source(20, rate=12), r"its frame 8 is at 0\.667 s, there at 0\.800 s"),
        (lambda: source(5), "its last frame is 4, there 8"),
        (lambda: source(20, stride=4), "the frame before its frame 8 is 4, there 6"),
        (lambda: source(20, stride=1), "the frame before its frame 8 is 7, there 6"),
        (lambda: source(20, stride=3), "it has no frame 8"),
        (lambda: source(20, start=1.5, stride=2), "it has no frame 8"),
        (lambda: source(20, start=3, stride=2), "it has none of them"),
    ],
)
def test_another_video_is_refused(tmp_path: Path, again: Callable[[], Source], what: str) -> None:
    lines = tmp_path / "r.jsonl"
    write(JsonLinesWriter(lines), source(9, stride=2))
    with pytest.raises(InputError, match=rf"{what}; --resume takes the same video .*--overwrite.*--out"):
        resumed(lines, again())


def test_pictures_of_several_sizes_go_on(tmp_path: Path) -> None:
    """Only the frame that both have is compared: the next may have another size."""
    for index in range(6):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((48 + index, 64, 3), np.uint8))
    write(JsonLinesWriter(tmp_path / "r.jsonl"), open_source(tmp_path, end=0.1))
    assert resumed(tmp_path / "r.jsonl", open_source(tmp_path)) == [3, 4, 5]


def test_a_stop_before_anything_new_is_no_other_video(tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    write(JsonLinesWriter(lines), source(9))
    rest = After(source(5), Earlier(lines, COCO))  # as a source ends that is interrupted
    rest.interrupt()
    assert list(rest) == []


def test_who_writes_is_alone(tmp_path: Path) -> None:
    """Whether the other began anew, or goes on; afterwards the file is free."""
    lines = tmp_path / "r.jsonl"
    for append in (False, True):
        with JsonLinesWriter(lines, append=append) as writer:
            write_one(writer, int(append))
            held = lines.read_bytes()
            for other in (
                lambda: Earlier(lines, COCO),
                lambda: JsonLinesWriter(lines, append=True),
                lambda: JsonLinesWriter(lines, overwrite=True),
            ):
                with pytest.raises(OutputError, match=r"r\.jsonl: another run writes there; wait"):
                    other()
            assert lines.read_bytes() == held
    assert Earlier(lines, COCO).count == 2
    for kind in (lambda p, o: CsvWriter(p, COCO, o), CocoWriter):
        with (
            kind(tmp_path / "r.out", False),
            pytest.raises(OutputError, match=r"r\.out(\.part)?: another run writes there"),
        ):
            kind(tmp_path / "r.out", True)
        (tmp_path / "r.out").unlink()


def write_one(writer: JsonLinesWriter, index: int) -> None:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), index, index / 10)
    writer.write(frame, FrameResult(PoseResult.empty(COCO, SMALL), frame.time, index, True, False))


def test_a_run_that_ended_since_the_file_was_read_is_noticed(tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    write(JsonLinesWriter(lines), source(3))
    earlier = Earlier(lines, COCO)
    earlier.replay([])
    with JsonLinesWriter(lines, append=True) as writer:
        write_one(writer, 3)
    with pytest.raises(OutputError, match="another run has just written there"):
        earlier.replay([])


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_of_two_that_begin_at_the_same_time_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Both have looked before either wrote, as if nothing existed."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    makers: dict[str, Callable[[Path], Writer]] = {
        "jsonl": JsonLinesWriter,
        "csv": lambda path: CsvWriter(path, COCO),
        "parquet": lambda path: ParquetWriter(path, COCO),
    }
    monkeypatch.setattr(Path, "exists", lambda *_, **__: False)
    first = makers[kind](tmp_path / "r")
    with pytest.raises(OutputError, match=r"exists already; choose another place|is under way; move it"):
        makers[kind](tmp_path / "r")
    write(first, source(3))
    assert (tmp_path / "r").stat().st_size > 0


def test_what_is_overwritten_leaves_nothing(tmp_path: Path) -> None:
    for kind in (JsonLinesWriter, lambda p, o=False: CsvWriter(p, COCO, o), CocoWriter):
        write(kind(tmp_path / "anew"), source(3))
        for waste in ("again", ".again.part"):
            (tmp_path / waste).write_bytes(b"x" * 100_000)
        write(kind(tmp_path / "again", True), source(3))
        assert (tmp_path / "again").read_bytes() == (tmp_path / "anew").read_bytes()
        (tmp_path / "anew").unlink()


def make_video(path: Path, count: int, size: tuple[int, int]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for index in range(count):
            image = np.full((size[1], size[0], 3), 40 + index, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        out.mux(stream.encode(None))
    return path


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    words = (BIN / "rtmpose", "predict", *arguments, "--threads", 1, "--save", "jsonl,csv", "--out", "o")
    return subprocess.Popen(
        list(map(str, words)),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "160"},
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    error = process.communicate(timeout=300)[1]
    assert "Traceback" not in error, error
    return process.returncode, " ".join(error.split())


def test_another_video_of_that_name(tmp_path: Path) -> None:
    first = make_video(tmp_path / "d1" / "cam.mp4", 10, (256, 256))
    other = make_video(tmp_path / "d2" / "cam.mp4", 25, (192, 160))
    assert end(start(first, cwd=tmp_path))[0] == 0
    kept = [(tmp_path / "o" / name).read_bytes() for name in ("cam.jsonl", "cam.csv")]
    code, error = end(start(other, "--resume", cwd=tmp_path))
    assert code == 1
    assert "its frame 9 is 192x160 px, there 256x256 px" in error
    assert [(tmp_path / "o" / name).read_bytes() for name in ("cam.jsonl", "cam.csv")] == kept
    assert end(start(first, "--resume", cwd=tmp_path))[0] == 0
    assert [(tmp_path / "o" / name).read_bytes() for name in ("cam.jsonl", "cam.csv")] == kept


def test_two_that_resume_at_once(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "v" / "cam.mp4", 60, (128, 96))
    assert end(start(clip, "--end", 0.4, cwd=tmp_path))[0] == 0
    runs = [start(clip, "--resume", cwd=tmp_path) for _ in range(2)]
    codes, errors = zip(*map(end, runs), strict=True)
    frames = [json.loads(line)["frame"] for line in (tmp_path / "o" / "cam.jsonl").read_text().splitlines()]
    assert frames == list(range(60))
    assert 0 in codes
    if 1 in codes:  # else one had ended before the other began
        assert "another run" in errors[codes.index(1)]
