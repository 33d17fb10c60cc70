"""`rtmpose predict --resume`: a video that was stopped goes on as in one go."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import Detections, FrameResult, PoseResult, PoseStream, get_keypoint_set
from rtmpose_sdk.benchmarks.scenes import COCO
from rtmpose_sdk.cli.predict_resume import After, Earlier
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.sources import ArraySource, Frame, Part
from rtmpose_sdk.writers import CsvWriter, JsonLinesWriter, OpenPoseWriter

from .conftest import BIN, Called, lines, run

av = pytest.importorskip("av")


def test_stopped_and_resumed_is_as_in_one_go(clip: Path, tmp_path: Path, started: Callable) -> None:
    arguments = (clip, "--save", "jsonl,csv,coco", "--threads", 1)
    assert run("predict", *arguments, "--out", "whole", cwd=tmp_path).returncode == 0
    process = started(
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
