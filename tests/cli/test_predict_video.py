"""`rtmpose predict` on videos and `rtmpose plot`: real processes, stopped and resumed, wrong calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

av = pytest.importorskip("av")
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


def test_a_video_into_every_kind(clip: Path, tmp_path: Path) -> None:
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
    again = run("predict", clip, "--out", "o", cwd=tmp_path)
    assert again.returncode == 1
    assert "o/astronaut.mp4: exists already; --overwrite replaces it" in " ".join(again.stderr.split())
    plotted = run("plot", "o/astronaut.jsonl", "--joint", "left_wrist", "--joint", "nose", cwd=tmp_path)
    assert plotted.returncode == 0, plotted.stderr
    assert cv2.imread(str(tmp_path / "o" / "astronaut_left_wrist_nose.png")).shape[1] > 800
    wrong = run("plot", "o/astronaut.jsonl", "--joint", "tail", cwd=tmp_path)
    assert "there is no joint 'tail'; it has nose, left_eye" in wrong.stderr
    nobody = run(
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


def test_a_truncated_video_keeps_what_was_found(clip: Path, tmp_path: Path) -> None:
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
    done = run("predict", "cut.mkv", "--out", "o", "--threads", 1, cwd=tmp_path)
    rows = lines(tmp_path / "o" / "cut.jsonl")
    assert 10 < len(rows) < 60
    assert len(list(av.open(str(tmp_path / "o" / "cut.mp4")).decode(video=0))) == len(rows)
    assert done.returncode in (0, 1)  # Matroska does not say how many frames there should be
    for name, message in (("cut.mp4", "the file is empty"), ("bad.mp4", "cannot be opened as a video")):
        failed = run("predict", name, "--out", "p", "--threads", 1, cwd=tmp_path)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert not (tmp_path / "p").exists() or not list((tmp_path / "p").iterdir())


def test_pictures_as_one_video(photo_path: Path, tmp_path: Path) -> None:
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    (tmp_path / "in").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), photo)
    done = run("predict", "in", "--track", "--fps", 10, "--save", "jsonl", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [r["time"] for r in lines(tmp_path / "out" / "in.jsonl")] == [0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["v.mp4", "--save", "gif"], "--save gif: expected one or more of video, jsonl"),
        (["v.mp4", "--save", "csv", "--resume"], "add jsonl to --save"),
        (["v.mp4", "photo.jpg"], "pictures and videos together"),
        (["v.mp4", "--boxes", "full"], "--boxes full is for pictures"),
        (["v.mp4", "--out", "photo.jpg"], "a file is there"),
        (["v.mp4", "--color-by", "size"], "color_by is 'size'"),
        (["v.mp4", "--start", "2", "--end", "1"], "expected 0 <= start < end"),
        (["v.mp4", "v.mp4"], "two sources are called 'v'"),
        (["97"], "camera 97 cannot be opened"),
        (["v.mp4", "--show"], "--show needs"),
    ],
)
def test_wrong_calls(
    clip: Path, photo_path: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "v.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "photo.jpg").write_bytes(photo_path.read_bytes())
    done = run("predict", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert not list(tmp_path.glob("out/*.jsonl"))


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


def test_the_threshold_holds_for_videos_too(clip: Path, tmp_path: Path) -> None:
    """The bundled detector sees ghosts in this clip at 0.3, one person by default, nobody at 0.99."""
    found = {}
    for threshold in (0.3, 0.99):
        done = run(
            *("predict", clip, "--out", str(threshold), "--save", "jsonl", "--threads", 1),
            *("--end", 1, "--detection-threshold", threshold),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        rows = lines(tmp_path / str(threshold) / "astronaut.jsonl")
        found[threshold] = max(len(row["persons"]) for row in rows)
    assert found[0.3] > 1
    assert found[0.99] == 0
