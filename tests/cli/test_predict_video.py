"""`rtmpose predict` on videos and `rtmpose plot`: stopped and resumed, wrong calls."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from rtmpose_sdk import Detections, FrameResult, PoseResult, PoseStream, get_keypoint_set
from rtmpose_sdk.benchmarks.scenes import COCO, SIZE, Scene, walk
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.predict_resume import After, Earlier
from rtmpose_sdk.cli.predict_sources import common_folder, left_out, name_of, split_sources
from rtmpose_sdk.cli.predict_stages import finish
from rtmpose_sdk.cli.predict_video import VideoOptions, _run
from rtmpose_sdk.cli.stopping import Stop
from rtmpose_sdk.closing import Closing
from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.follow import follow
from rtmpose_sdk.sources import ArraySource, Frame, Part, Source, open_source
from rtmpose_sdk.writers import CsvWriter, JsonLinesWriter, OpenPoseWriter, Writer

av = pytest.importorskip("av")
Called = Callable[..., subprocess.CompletedProcess[str]]
BIN = Path(sys.executable).parent


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [BIN / "rtmpose", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def clip(photo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled photograph as a video of 3 seconds: it slides to the left and back."""
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    file = tmp_path_factory.mktemp("clip") / "astronaut.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 384, 256, "yuv420p"
        for index in range(60):
            picture = np.full((256, 384, 3), 90, np.uint8)
            x = 64 + round(50 * np.sin(index / 60 * 2 * np.pi))
            picture[:, x : x + 256] = photo
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        out.mux(stream.encode(None))
    return file


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


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


def test_stopped_and_resumed_is_as_in_one_go(clip: Path, tmp_path: Path) -> None:
    arguments = (clip, "--save", "jsonl,csv,coco", "--threads", 1)
    assert run("predict", *arguments, "--out", "whole", cwd=tmp_path).returncode == 0
    process = subprocess.Popen(
        [str(BIN / "rtmpose"), "predict", *map(str, arguments), "--out", "parts"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    file = tmp_path / "parts" / "astronaut.jsonl"
    limit = time.monotonic() + 120
    while time.monotonic() < limit and (not file.exists() or file.read_bytes().count(b"\n") < 12):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    whole = lines(tmp_path / "whole" / "astronaut.jsonl")
    stopped = lines(file)
    assert 12 <= len(stopped) <= 60
    if process.returncode != 0:  # else it had ended before the signal came
        assert process.returncode == 130
        assert f"stopped at frame {len(stopped) - 1}; --resume goes on from there" in out
        assert len(json.loads((tmp_path / "parts" / "astronaut.coco.json").read_text())) == len(stopped)
    # As if the machine had died in the middle of a line.
    file.write_text("".join(json.dumps(r) + "\n" for r in stopped[:10]) + '{"frame": 10, "per')
    done = run("predict", *arguments, "--out", "parts", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    resumed = lines(file)
    assert [r["frame"] for r in resumed] == [r["frame"] for r in whole] == list(range(60))
    assert [[p["track_id"] for p in r["persons"]] for r in resumed] == [[1]] * 60
    for now, then in zip(resumed[20:], whole[20:], strict=True):
        a, b = (r["persons"][0]["keypoints"]["nose"] for r in (now, then))
        assert abs(a["x"] - b["x"]) < 8
    assert len((tmp_path / "parts" / "astronaut.csv").read_text().splitlines()) == 61
    assert len(json.loads((tmp_path / "parts" / "astronaut.coco.json").read_text())) == 60


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
    assert done.returncode in (0, 1)  # Matroska does not say how many frames there should be
    for name, message in (("cut.mp4", "the file is empty"), ("bad.mp4", "cannot be opened as a video")):
        failed = called("predict", name, "--out", "p", "--threads", 1, cwd=tmp_path)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert not (tmp_path / "p").exists() or not list((tmp_path / "p").iterdir())


def test_pictures_as_one_video(photo_path: Path, tmp_path: Path, called: Called) -> None:
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    (tmp_path / "in").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), photo)
    done = called("predict", "in", "--track", "--fps", 10, "--save", "jsonl", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [r["time"] for r in lines(tmp_path / "out" / "in.jsonl")] == [0, 0.1, 0.2, 0.3]


def test_pictures_that_a_shell_named_are_one_video(
    photo_path: Path, tmp_path: Path, called: Called
) -> None:
    """`frames/*.png`, expanded or not, is a video called frames, in natural order."""
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    (tmp_path / "frames").mkdir()
    for index in (1, 2, 10):
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), photo[: 256 - index])
    files = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "frames").iterdir())
    for out, sources in (("expanded", files), ("quoted", ["frames/*.png"])):
        done = called(
            *("predict", *sources, "--track", "--save", "jsonl", "--threads", 1, "--out", out), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert [p.name for p in (tmp_path / out).iterdir()] == ["frames.jsonl"]
        heights = [row["image_size"][1] for row in lines(tmp_path / out / "frames.jsonl")]
        assert heights == [255, 254, 246]


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("v/a.mp4", "v/notes.txt", "p/1.jpg", "p/a.heic", "p/b.HEIC", "p/c.txt", "p/.hidden")
    for name in (*names, "q/c.AVIF", "r/a", "r/b.txt", "r/c.md", "r/d.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    assert left_out(["p", "q"], False) == "p: left out: 3 files that are no pictures (.heic, .txt)"
    assert left_out(["v/*"], False) == "v/*: left out: 1 file that is no video (.txt)"
    assert left_out(["r"], False).endswith("4 files that are no pictures (no suffix, .csv, .md, ...)")
    assert left_out(["p/*", "q", "p/1.jpg", "0", "nowhere"], False) == ""
    assert "3 files" in left_out(["p/*"], True)
    assert split_sources(["q/c.AVIF", "p/a.heic"], False) == ([], ["q/c.AVIF", "p/a.heic"])


def test_what_sources_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("v/a.mp4", "v/b.MOV", "v/notes.txt", "p/1.jpg", "p/2.jpg", "m/c.mkv", "m/3.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    both = (["v/a.mp4", "v/b.MOV"], [])
    assert split_sources(["v"], False) == split_sources(["v"], True) == both
    assert split_sources(["v/*"], False) == split_sources(["**/*.[mM][pO]*"], False) == both
    assert split_sources(["p", "p/*.jpg"], False) == ([], ["p", "p/*.jpg"])
    assert split_sources(["p"], True) == (["p"], [])
    assert split_sources(["p/1.jpg", "p/2.jpg"], True) == ([("p/1.jpg", "p/2.jpg")], [])
    assert split_sources(["p/1.jpg"], True) == (["p/1.jpg"], [])
    for source in ("m", "m/*"):
        with pytest.raises(InputError, match="pictures and videos together"):
            split_sources([source], False)
    names = {
        **{"-": "stdin", "0": "camera0", "rtsp://host:8554/live?x=1": "host_8554_live_x_1"},
        **{"HTTPS://host/a/b.mp4?token=secret": "host_a_b.mp4", "http://host/" + "a" * 300: "a" * 100},
        **{"v/a.mp4": "a", "p": "p", "p/*.jpg": "p", "*/*.jpg": tmp_path.name, "p/**/*.jpg": "p"},
        **{("p/1.jpg", "p/2.jpg"): "p", ("p/1.jpg", "m/3.png"): tmp_path.name, ".": tmp_path.name},
    }
    assert {source: name_of(source) for source in names} == names
    assert split_sources(["RTSP://host/a"], False) == (["RTSP://host/a"], [])
    Path("2024").mkdir()
    shutil.copy("p/1.jpg", "2024")
    assert split_sources(["2024", "2025"], False) == (["2025"], ["2024"])
    for source, why in (("a" * 300, "File name too long"), ("a\0b", "null")):
        with pytest.raises(InputError, match=f"cannot be read .*{why}"):
            split_sources([source], False)


def test_what_other_systems_say_to_a_pattern_and_to_two_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows: a name with * is a wrong argument, and C: and D: have no folder in common."""
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"x")
    stat = os.stat

    def windows(path: object, *rest: object, **options: object) -> os.stat_result:
        if "*" in str(path):
            error = OSError(errno.EINVAL, "The filename or directory name syntax is incorrect")
            error.winerror = 123  # pathlib takes this one for "no such file"
            raise error
        return stat(path, *rest, **options)  # type: ignore[arg-type]

    def apart(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os, "stat", windows)
    assert split_sources(["*.mp4"], False) == (["a.mp4"], [])
    monkeypatch.setattr(os.path, "commonpath", apart)
    with pytest.raises(InputError, match=r"several drives \(C:, D:\)"):
        common_folder([PureWindowsPath("D:/b.jpg"), PureWindowsPath("C:/a.jpg")])  # type: ignore[list-item]


def test_names_that_a_pipe_cannot_say_and_that_look_like_addresses(clip: Path, tmp_path: Path) -> None:
    name = "Фото-10:30.mp4"
    (tmp_path / name).write_bytes(clip.read_bytes())
    command = [BIN / "rtmpose", "predict", name, "--end", "0.1", "--save", "jsonl", "--threads", "1"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )
    assert done.returncode == 0, done.stderr
    assert b"????-10:30: 2 frames" in done.stdout
    assert len(lines(tmp_path / "out" / "Фото-10:30.jsonl")) == 2


def test_a_folder_of_videos(clip: Path, tmp_path: Path, called: Called) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in" / name).write_bytes(clip.read_bytes())
    done = called("predict", "in", "--end", 0.2, "--save", "jsonl", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [len(lines(tmp_path / "out" / f"{name}.jsonl")) for name in "ab"] == [4, 4]


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


def test_resumed_in_every_kind(clip: Path, tmp_path: Path, called: Called) -> None:
    """Video goes on in a part of its own; tables and files of frames are whole again."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    arguments = ("predict", clip, "--save", "jsonl,video,openpose,parquet", "--threads", 1, "--out", "o")
    assert called(*arguments, "--end", 0.5, cwd=tmp_path).returncode == 0
    out = tmp_path / "o"
    assert len(pandas.read_parquet(out / "astronaut.parquet")) == 10
    done = called(*arguments, "--end", 1, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["frame"] for row in lines(out / "astronaut.jsonl")] == list(range(20))
    assert pandas.read_parquet(out / "astronaut.parquet")["frame"].tolist() == list(range(20))
    assert len(list((out / "astronaut_openpose").iterdir())) == 20
    for name in ("astronaut.mp4", "astronaut.2.mp4"):
        assert len(list(av.open(str(out / name)).decode(video=0))) == 10
    (out / "astronaut.jsonl").unlink()
    lost = called(*arguments, "--resume", cwd=tmp_path)
    assert lost.returncode == 1
    assert "from which --resume would go on, does not; --overwrite begins anew" in " ".join(
        lost.stderr.split()
    )
    assert len(list(av.open(str(out / "astronaut.mp4")).decode(video=0))) == 10


def test_a_set_of_the_users_own_is_resumed(tmp_path: Path) -> None:
    """Results whose keypoint set has a name that the SDK does not know."""
    points = replace(get_keypoint_set("coco17"), name="mine")
    poses = PoseResult(
        *(np.array([[1, 2, 30, 40]], np.float32), np.ones(1, np.float32)),
        *(np.ones((1, 17, 2), np.float32), np.ones((1, 17), np.float32), np.ones((1, 17), np.float32)),
        keypoint_set=points,
        image_size=(64, 48),
        track_ids=np.array([3]),
    )
    image = np.zeros((48, 64, 3), np.uint8)
    with JsonLinesWriter(tmp_path / "r.jsonl") as writer:
        writer.write(Frame(image, 0, 0.0), FrameResult(poses, 0.0, 0, True, False))
    earlier = Earlier(tmp_path / "r.jsonl", points)
    with CsvWriter(tmp_path / "r.csv", points) as table:
        earlier.replay([table])
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 2
    with OpenPoseWriter(tmp_path / "o", "r", append=True) as folder:
        earlier.replay([folder])
    assert [file.name for file in (tmp_path / "o").iterdir()] == ["r_000000000000_keypoints.json"]
    with pytest.raises(InputError, match="holds mine, and this model gives coco17"):
        Earlier(tmp_path / "r.jsonl", get_keypoint_set("coco17"))
    stream = PoseStream(lambda _: Detections.empty((64, 48)), lambda *_: poses, points)
    earlier.restore(stream)
    assert stream.count == 1


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


def test_who_was_lost_before_a_stop_comes_back_after_it(tmp_path: Path) -> None:
    def here(person: float, away: bool) -> PoseResult:
        boxes = np.array([[person, 100, person + 100, 400]], np.float32)
        rows = slice(0, 0) if away else slice(0, 1)
        places = np.linspace(0, 1, 17)[None, :, None] * np.array([1.0, 1.0])
        keypoints = (boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])).astype(
            np.float32
        )
        sure = np.full((1, 17), 0.9, np.float32)
        both = PoseResult(boxes, np.array([0.9], np.float32), keypoints, sure, sure, COCO, (640, 480))
        return both[rows]

    now: list[PoseResult] = []

    def detect(_: object) -> Detections:
        boxes = np.concatenate([poses.boxes for poses in now])
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32), (640, 480))

    def pose(_: object, found: Detections) -> PoseResult:
        every = [here(float(box[0]), False) for box in found.boxes]
        return replace(
            PoseResult.empty(COCO, (640, 480)),
            boxes=found.boxes,
            box_scores=found.scores,
            **{
                name: np.concatenate([getattr(p, name) for p in every])
                for name in ("keypoints", "keypoint_scores", "confidences")
            },
        )

    image = np.zeros((480, 640, 3), np.uint8)
    first = PoseStream(detect, pose, COCO, 1)
    with JsonLinesWriter(tmp_path / "r.jsonl") as writer:
        for index in range(20):
            now[:] = [here(50, False), here(400, index >= 8)]
            writer.write(Frame(image, index, index / 30), first(image, index / 30))
    resumed = PoseStream(detect, pose, COCO, 1)
    Earlier(tmp_path / "r.jsonl", COCO).restore(resumed)
    now[:] = [here(50, False), here(400, False)]
    for stream in (first, resumed):
        found = stream(image, 20 / 30).poses
        places = dict(zip(found.track_ids.tolist(), found.boxes[:, 0].tolist(), strict=True))
        assert places == {1: 50, 2: 400}


def test_what_is_left_of_a_part_is_counted_in_chosen_frames(tmp_path: Path) -> None:
    whole = ArraySource([np.zeros((48, 64, 3), np.uint8)] * 100, 10.0)
    whole.length = 100
    part = Part(whole, start=5.0, end=np.inf, stride=2)
    assert part.length == 25
    nobody = PoseResult.empty(COCO, (64, 48)).to_dict()
    rows = [{"frame": i, "time": i / 10, **nobody} for i in range(50, 61, 2)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rest = After(part, Earlier(tmp_path / "r.jsonl", COCO))
    assert rest.length == len(list(rest)) == 19


def frames_of(count: int, scene: Scene) -> tuple[ArraySource, PoseStream]:
    stream = PoseStream(scene.detect, scene.pose, COCO, 5)
    return ArraySource((np.zeros((SIZE[1], SIZE[0], 3), np.uint8) for _ in range(count)), 30.0), stream


class Notes(Writer):
    """A writer that takes notes, and whose disk is full at some frame."""

    def __init__(self, full_at: int = 999) -> None:
        self.frames: list[int] = []
        self.threads: set[int] = set()
        self._full_at = full_at

    def write(self, frame: Frame, found: FrameResult) -> None:
        if frame.index == self._full_at:
            raise OutputError("disk full")
        self.frames.append(frame.index)
        self.threads.add(threading.get_ident())


def test_drawing_and_writing_have_threads_of_their_own() -> None:
    source, stream = frames_of(40, Scene([walk((30, 40), (0, 0))]))
    drawn, threads = [], set()

    def painter(image: np.ndarray, poses: PoseResult, time: float) -> np.ndarray:
        drawn.append(time)
        threads.add(threading.get_ident())
        return image + 1

    notes, stop = Notes(), Stop()
    done = list(finish(follow(source, stream, stop=stop), painter, [notes], 4, stop))
    assert notes.frames == [one.frame.index for one in done] == list(range(40))
    assert drawn == sorted(drawn)
    assert len(drawn) == 40
    assert {int(one.picture.max()) for one in done} == {1}
    here = {threading.get_ident()}
    assert len(threads | notes.threads | here) == 3
    assert all({"decode", "detect", "pose", "own", "draw", "write"} <= set(o.found.seconds) for o in done)


def test_threads_hold_for_the_decoder_and_a_shown_frame_is_drawn_once(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--threads 1 --show`, with a window that takes notes where there is no screen."""
    asked, shown, drawn = [], [], []

    class Screen(Closing):
        def __init__(self, title: str) -> None:
            pass

        def show(self, picture: np.ndarray) -> bool:
            shown.append(picture.shape)
            return len(shown) < 3  # then it is closed

    def open_and_note(*arguments: object, **options: object) -> Source:
        asked.append(options["decoder_threads"])
        return open_source(*arguments, **options)

    paint = Painter.__call__

    def paint_and_note(self: Painter, image: np.ndarray, poses: PoseResult, at: float = 0.0) -> np.ndarray:
        drawn.append(at)
        return paint(self, image, poses, at)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rtmpose_sdk.cli.window.Window", Screen)
    monkeypatch.setattr("rtmpose_sdk.cli.predict_video.open_source", open_and_note)
    monkeypatch.setattr(Painter, "__call__", paint_and_note)
    arguments = ["predict", str(clip), "--show", "--threads", "1", "--save", "video,jsonl"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert asked == [1]
    written = len(lines(tmp_path / "out" / "astronaut.jsonl"))
    assert len(drawn) == len(set(drawn)) == len(shown) == written
    assert 3 <= written < 60


def test_a_writers_error_comes_to_the_reader_and_all_threads_end() -> None:
    source, stream = frames_of(10_000, Scene([walk((30, 40), (0, 0))]))
    before, notes, stop = threading.active_count(), Notes(full_at=7), Stop()
    done = []
    with pytest.raises(OutputError, match="disk full"):
        done.extend(finish(follow(source, stream, stop=stop), None, [notes], 4, stop))
    assert notes.frames == [one.frame.index for one in done] == list(range(7))
    assert threading.active_count() == before


def test_stopping_writes_what_is_under_way() -> None:
    source, stream = frames_of(10_000, Scene([walk((30, 40), (0, 0))]))
    before, notes, stop = threading.active_count(), Notes(), Stop()
    done = []
    for one in finish(follow(source, stream, stop=stop), None, [notes], 4, stop):
        done.append(one.frame.index)
        stop.asked = stop.asked or len(done) == 5
    assert notes.frames == done == list(range(len(done)))
    assert 5 <= len(done) < 40
    assert threading.active_count() == before


def test_ctrl_c_ends_a_stream_that_gives_nothing_any_more(clip: Path, tmp_path: Path) -> None:
    """A server that sends some frames and then falls silent, with a time limit of a minute."""
    with av.open(str(clip)) as source, av.open(str(tmp_path / "live.ts"), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(9999)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + (tmp_path / "live.ts").read_bytes())
                over.wait(120)

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/live"
        process = subprocess.Popen(
            [
                *(str(BIN / "rtmpose"), "predict", address, "--threads", "1", "--save", "jsonl"),
                *("--time-limit", "60"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        limit = time.monotonic() + 120
        while time.monotonic() < limit and not any(p.stat().st_size for p in tmp_path.glob("out/*.jsonl")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out_text, err = process.communicate(timeout=30)
        over.set()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (file,) = tmp_path.glob("out/*.jsonl")
    assert f"stopped at frame {lines(file)[-1]['frame']}" in out_text


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
