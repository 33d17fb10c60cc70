"""`rtmpose predict` on videos: every kind of result, `rtmpose plot` of one, broken videos, wrong calls."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from rtmpose_sdk import Detections, PoseResult, PoseStream
from rtmpose_sdk.benchmarks.scenes import COCO
from rtmpose_sdk.cli.predict_video import VideoOptions, _run
from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.sources import open_source

from .conftest import Called, lines, run

av = pytest.importorskip("av")


def test_a_video_into_every_kind(clip: Path, tmp_path: Path, called: Called) -> None:
    kinds = "video,jsonl,csv,coco,openpose"
    done = run(
        *("predict", clip, "--out", "o", "--save", kinds, "--threads", 1, "--end", 1.5),
        *("--color-by", "id", "--trail", 0.5, "--hide-faces", "--detect-every", 5),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("astronaut: 30 frames, 1 person: o/astronaut.mp4, o/astronaut.jsonl")
    rows = lines(tmp_path / "o" / "astronaut.jsonl")
    assert [r["frame"] for r in rows] == list(range(30))
    assert [r["frame"] for r in rows if r["detected"]] == [0, 5, 10, 15, 20, 25]
    assert {p["track_id"] for r in rows for p in r["persons"]} == {1}
    nose = [r["persons"][0]["keypoints"]["nose"]["x"] for r in rows]
    truth = 64 + 50 * np.sin(np.arange(30) / 60 * 2 * np.pi) + 111
    assert np.abs(np.array(nose) - truth).max() < 16
    assert len(json.loads((tmp_path / "o" / "astronaut.coco.json").read_text())) == 30
    assert len(list((tmp_path / "o" / "astronaut_openpose").iterdir())) == 30
    assert len((tmp_path / "o" / "astronaut.csv").read_text().splitlines()) == 31
    drawn = list(av.open(str(tmp_path / "o" / "astronaut.mp4")).decode(video=0))
    assert len(drawn) == 30
    assert not list((tmp_path / "o").glob(".*"))
    again = called("predict", clip, "--out", "o", cwd=tmp_path)
    assert again.returncode == 1
    assert "o/astronaut.mp4: exists already; --overwrite replaces it" in " ".join(again.stderr.split())
    plotted = called("plot", "o/astronaut.jsonl", "--joint", "left_wrist", "--joint", "nose", cwd=tmp_path)
    assert plotted.returncode == 0, plotted.stderr
    assert cv2.imread(str(tmp_path / "o" / "astronaut_left_wrist_nose.png")).shape[1] > 800
    wrong = called("plot", "o/astronaut.jsonl", "--joint", "tail", cwd=tmp_path)
    assert "there is no joint 'tail'; it has nose, left_eye" in wrong.stderr
    nobody = called(
        "plot", "o/astronaut.jsonl", "--joint", "nose", "--person", 9, "--out", "p.png", cwd=tmp_path
    )
    assert "no person [9] in it; there is 1" in nobody.stderr


def test_a_truncated_video_keeps_what_was_found(clip: Path, tmp_path: Path, called: Called) -> None:
    with av.open(str(clip)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    whole = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(b"")
    (tmp_path / "bad.mp4").write_bytes(clip.read_bytes()[:5000])
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 9 // 10])
    done = called("predict", "cut.mkv", "--out", "o", "--threads", 1, cwd=tmp_path)
    rows = lines(tmp_path / "o" / "cut.jsonl")
    assert 10 < len(rows) < 60
    assert len(list(av.open(str(tmp_path / "o" / "cut.mp4")).decode(video=0))) == len(rows)
    assert done.returncode == 1
    assert re.search(r"cut\.mkv: ends at 1\.\d of 3\.0 s: it is truncated or damaged", done.stderr)
    for name, message in (("cut.mp4", "the file is empty"), ("bad.mp4", "cannot be opened as a video")):
        failed = called("predict", name, "--out", "p", "--threads", 1, cwd=tmp_path)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert not (tmp_path / "p").exists() or not list((tmp_path / "p").iterdir())


def test_a_bad_one_among_videos(clip: Path, tmp_path: Path, called: Called) -> None:
    (tmp_path / "in").mkdir()
    for name, content in (("a.mp4", b""), ("b.mp4", clip.read_bytes())):
        (tmp_path / "in" / name).write_bytes(content)
    done = called("predict", "in", "--end", 0.2, "--save", "jsonl", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 1
    assert "in/a.mp4: the file is empty" in done.stderr
    assert "1 of 2 videos could not be used, see above" in done.stderr
    assert len(lines(tmp_path / "out" / "b.jsonl")) == 4
    assert "b: 4 frames" in done.stdout


@pytest.mark.parametrize("width", [80, 200])
def test_the_bar_fits_into_a_terminal(clip: Path, tmp_path: Path, width: int) -> None:
    """In 80 columns a frame's parts would leave no room for the bar, the share and the rest of the time."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=width, color_system=None)
    options = VideoOptions(
        *(tmp_path, (), 5, True, 0.0, 0.5, 1, None, 10.0, False, False, False, 1, Painter)
    )
    nobody = PoseResult.empty(COCO, (384, 256))
    stream = PoseStream(lambda _: Detections.empty((384, 256)), lambda *_: nobody, COCO)
    with open_source(clip, end=0.5) as source:
        assert _run(source, stream, [], None, options, console, None).frames == 10
    last = [line for line in re.split(r"[\r\n]", shown.getvalue()) if "people" in line][-1]
    assert re.search(r"━{20} 100% \d+\.\d fps, 0 people", last)
    assert last.rstrip().endswith("0:00:00")
    assert ("ms: decode" in last) == (width == 200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["v.mp4", "--save", "gif"], "--save gif: expected one or more of video, jsonl"),
        (["v.mp4", "--save", "csv", "--resume"], "add jsonl to --save"),
        (["v.mp4", "--overwrite", "--resume"], "--resume goes on, --overwrite begins anew: give one"),
        (["v.mp4", "done.mp4"], "out/done.mp4: exists already"),  # before v.mp4 is looked at
        (["v.mp4", "--fps", "1e-9"], "fps is 1e-09; expected a number from 0.001"),
        (["http://127.0.0.1:9/v.mp4", "--time-limit", "5"], "refused); check the address"),
        (["v.mp4", "photo.jpg"], "pictures and videos together (photo.jpg is no video, v.mp4 is one)"),
        (["v.mp4", "w.mp4"], "w.mp4: no such file or folder"),
        (["w.mp4", "--save", "csv"], "w.mp4: no such file or folder"),
        (["v.mp4", "--boxes", "full"], "--boxes full is for pictures"),
        (["v.mp4", "--out", "photo.jpg"], "a file is there"),
        (["v.mp4", "--color-by", "size"], "color_by is 'size'"),
        (["v.mp4", "--start", "2", "--end", "1"], "expected 0 <= start < end"),
        (["v.mp4", "v.mp4"], "two sources are called 'v'"),
        (["97"], "camera 97 cannot be opened"),
        (["v.mp4", "--show"], "--show needs"),
        (["v.mp4", "--out", ".", "--overwrite"], "v.mp4: is a source, which its results would replace"),
        (["photo.jpg", "--save", "csv", "--trail", "2"], "--save, --trail: for videos"),
        (["photo.jpg", "--no-smooth"], "--no-smooth: for videos"),
    ],
)
def test_wrong_calls(
    clip: Path, photo_path: Path, tmp_path: Path, arguments: list[str], message: str, called: Called
) -> None:
    (tmp_path / "v.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "photo.jpg").write_bytes(photo_path.read_bytes())
    for name in ("done.mp4", "out/done.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(clip.read_bytes())
    done = called("predict", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert not list(tmp_path.glob("out/*.jsonl"))
    assert (tmp_path / "v.mp4").read_bytes() == clip.read_bytes()


def test_without_pyav_the_extra_is_named(clip: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['av'] = None\n"
        f"sys.argv = ['rtmpose', 'predict', {str(clip)!r}]\n"
        "from rtmpose_sdk.cli.main import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "pip install 'rtmpose-sdk[video]'" in " ".join(done.stderr.split())


def test_the_threshold_holds_for_videos_too(clip: Path, tmp_path: Path, called: Called) -> None:
    """The bundled detector sees ghosts in this clip at 0.3, one person by default, nobody at 0.99."""
    found = {}
    for threshold in (0.3, 0.99):
        done = called(
            *("predict", clip, "--out", str(threshold), "--save", "jsonl", "--threads", 1),
            *("--end", 1, "--detection-threshold", threshold),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""  # no trace of a progress bar
        rows = lines(tmp_path / str(threshold) / "astronaut.jsonl")
        found[threshold] = max(len(row["persons"]) for row in rows)
    assert found[0.3] > 1
    assert found[0.99] == 0
