"""The commands as a user calls them: processes, exit codes, files, messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk import Pipeline
from rtmpose_sdk.images import read_image
from rtmpose_sdk.zoo import find_model

from .conftest import BIN, Called
from .conftest import run_command as run


def test_one_picture(photo_path: Path, photo: np.ndarray, tmp_path: Path) -> None:
    done = run("rtmpose", "predict", photo_path, "--boxes", "full", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1 picture, 1 person: o/results.json",
        "drawn: o/astronaut.jpg",
    ]
    drawn = cv2.imread(str(tmp_path / "o" / "astronaut.jpg"))
    assert drawn.shape == photo.shape
    assert (np.abs(drawn.astype(int) - photo).max(axis=2) > 60).sum() > 500
    (entry,) = json.loads((tmp_path / "o" / "results.json").read_text())
    assert entry["file"] == str(photo_path)
    assert entry["persons"][0]["keypoints"]["nose"]["confidence"] > 0.5


def test_ninety_nine_good_pictures_and_a_bad_one(photo: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    small = cv2.resize(photo, (96, 96))
    for i in range(99):
        cv2.imwrite(str(folder / f"{i:03}.jpg"), small)
    (folder / "050b.jpg").write_bytes((folder / "050.jpg").read_bytes()[:700])
    done = run("rtmpose", "predict", "in", "--boxes", "full", "--threads", 1, "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 of 100 pictures could not be used" in done.stderr
    assert "050b.jpg is truncated" in done.stderr
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 99
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 99
    assert not (tmp_path / "out" / "050b.jpg").exists()


def test_pictures_without_a_suffix_and_links_to_them(
    photo_path: Path, tmp_path: Path, called: Called
) -> None:
    (tmp_path / "blobs").mkdir()
    shutil.copy(photo_path, tmp_path / "blobs" / "0a1b")
    (tmp_path / "links").mkdir()
    for name in ("one.jpg", "two.jpg"):
        (tmp_path / "links" / name).symlink_to("../blobs/0a1b")
    done = called("predict", "links", "--boxes", "full", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"one.jpg", "two.jpg", "results.json"}
    done = called("predict", "blobs/*", "--boxes", "full", "--out", "p", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "p").iterdir()} == {"0a1b.png", "results.json"}


def test_what_drawn_pictures_must_not_replace(photo: np.ndarray, tmp_path: Path, called: Called) -> None:
    small = cv2.resize(photo, (96, 96))
    for name in ("in/a.jpg", "in/x/a.jpg", "n/scan.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(tmp_path / name), small)
    shutil.copy(tmp_path / "n/scan.png", tmp_path / "n/scan")
    before = (tmp_path / "in/x/a.jpg").read_bytes()
    full = ("--boxes", "full", "--threads", "1")
    for sources, out, message in (
        (("in/a.jpg", "in/x/a.jpg"), "in/x", "would overwrite the sources (in/x/a.jpg)"),
        (("in/a.jpg",), "in/x", "in/x/a.jpg: exists already; --overwrite replaces it"),
        (("n/*",), "o", "o/scan.png: both n/scan and n/scan.png would be drawn there"),
    ):
        done = called("predict", *sources, *full, "--out", out, cwd=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr
        assert (tmp_path / "in/x/a.jpg").read_bytes() == before
        assert not list(tmp_path.rglob("results.json"))
    done = called("predict", "in/a.jpg", *full, "--out", "in/x", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "in/x/a.jpg").read_bytes() != before


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_names_that_are_no_text_and_links_in_a_circle(photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    name = os.fsdecode(b"bad\xff.jpg")
    for file in (name, "good.jpg"):
        (tmp_path / "in" / file).write_bytes(cv2.imencode(".jpg", cv2.resize(photo, (96, 96)))[1].tobytes())
    (tmp_path / "in" / "loop.jpg").symlink_to("loop.jpg")
    done = run("rtmpose", "predict", "in", "--boxes", "full", "--threads", "1", "--out", "o", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 of 3 pictures could not be used" in done.stderr
    assert (tmp_path / "o" / name).is_file()
    assert len(json.loads((tmp_path / "o" / "results.json").read_text())) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_between_pictures_what_is_done_is_kept(
    photo: np.ndarray, tmp_path: Path, number: signal.Signals, started: Callable
) -> None:
    (tmp_path / "many").mkdir()
    small = cv2.imencode(".jpg", cv2.resize(photo, (96, 96)))[1].tobytes()
    for i in range(2000):
        (tmp_path / "many" / f"{i:04}.jpg").write_bytes(small)
    process = started(
        [BIN / "rtmpose", "predict", "many", "--boxes", "full", "--threads", "1", "--out", "o"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "o").glob("*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    rows = json.loads((tmp_path / "o" / "results.json").read_text())
    assert 1 <= len(rows) < 2000
    assert f"stopped; {2000 - len(rows)} pictures were not looked at" in out
    assert len(list((tmp_path / "o").glob("*.jpg"))) == len(rows)


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "rtmpose-t-own", "rtmpose-t-own", "--images", ".", "--draw", "x.foo"],
        ["eval", "--annotations", "a.json", "--images", ".", "--worst", "3", "x.foo"],
        ["eval", "--annotations", "a.json", "--images", ".", "--calibration", "--reliability", "x.foo"],
        ["data", "check", "a.json", "--sheet", "x.foo"],
        ["plot", "a.jsonl", "--joint", "nose", "--out", "x.foo"],
    ],
)
def test_pictures_of_a_kind_that_nobody_writes_are_said_before_the_work(
    words: list[str], tmp_path: Path, called: Called
) -> None:
    done = called(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "x.foo: is of kind '.foo'; expected ." in done.stderr


def test_folders_globs_and_names_that_repeat(photo_path: Path, tmp_path: Path, called: Called) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(photo_path, tmp_path / name / "x.jpg")
    (tmp_path / "a" / "notes.txt").touch()
    done = called(
        "predict",
        "a",
        "b/*.jpg",
        "a/x.jpg",
        "--boxes",
        "full",
        "--out",
        "o",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    files = sorted(str(p.relative_to(tmp_path / "o")) for p in (tmp_path / "o").rglob("*.jpg"))
    assert files == ["a/x.jpg", "b/x.jpg"]
    assert "a: left out: 1 file that is no picture (.txt)\n" in done.stderr


def test_with_a_detector(detector_folder: Path, photo_path: Path, tmp_path: Path) -> None:
    done = run("rtmpose", "predict", photo_path, "--detector", detector_folder, "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "o" / "results.json").read_text())
    assert len(entry["persons"]) == 1
    x1, y1, x2, y2 = entry["persons"][0]["box"]
    assert (x2 - x1) * (y2 - y1) > 0.3 * 512 * 512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", "--boxes", "full"], "none.jpg: no such file or folder"),
        (["empty", "--boxes", "full"], "no pictures in this folder"),
        (["*.tiff", "--boxes", "full"], "no file fits this pattern"),
        (["photo.jpg", "--boxes", "full", "--pose", "nothing"], "'nothing' is neither a file"),
        (
            ["photo.jpg", "--boxes", "full", "--pose", "photo.jpg"],
            "no engine for files of kind '.jpg'",
        ),
        (["photo.jpg", "--boxes", "full", "--device", "gpu"], "unknown device 'gpu'"),
        (["photo.jpg", "--boxes", "full", "--out", "photo.jpg"], "cannot be made a folder"),
        (["photo.jpg", "--boxes", "full", "--out", "."], "would overwrite the sources"),
        (
            ["photo.jpg", "--boxes", "full", "--detector", "rtmpose-t-own"],
            "--boxes full needs no detector",
        ),
        (["photo.jpg", "--detector", "rtmpose-t-own"], "is a pose model"),
        ([""], "a source is empty text"),
        (["photo.jpg", "--threads", "100000"], "threads is 100000; expected at most 256"),
        (["photo.jpg", "--detector-size", ""], "size ''; expected WIDTHxHEIGHT"),
        (["photo.jpg", "--detector-size", "300"], "input size is 300x300; expected"),
        (["photo.jpg", "--detector-size", "large"], "size 'large'; expected WIDTHxHEIGHT"),
        (["photo.jpg", "--boxes", "full", "--detector-size", "256"], "but there is no detector"),
    ],
)
def test_wrong_calls(
    photo_path: Path, tmp_path: Path, arguments: list[str], message: str, called: Called
) -> None:
    shutil.copy(photo_path, tmp_path / "photo.jpg")
    (tmp_path / "empty").mkdir()
    out = [] if "--out" in arguments else ["--out", "o"]
    done = called("predict", *arguments, *out, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert (tmp_path / "photo.jpg").read_bytes() == photo_path.read_bytes()
    assert not list(tmp_path.rglob("results.json"))
    assert not list(tmp_path.rglob("*.part"))


def test_models_lists_what_can_be_named(tmp_path: Path, called: Called) -> None:
    done = called("models", cwd=tmp_path)
    assert done.returncode == 0
    assert "rtmpose-t-own" in done.stdout
    assert run("rtmpose", "--version", cwd=tmp_path).stdout.startswith("rtmpose-sdk ")


def test_bench_writes_its_figures(tmp_path: Path) -> None:
    done = run(
        *("rtmpose-bench", "--pose", "rtmpose-t-own", "--pose", find_model("rtmpose-t-own")),
        *("--threads", 1, "--warm-up", 1, "--runs", 3, "--json", "b.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bare engine") == 2
    first, report = json.loads((tmp_path / "b.json").read_text())["reports"]
    assert first["ms"] != report["ms"]
    steps = {"bare engine", "predictor", "pre-process", "crop", "network", "decode", "read JPEG", "draw"}
    assert set(report["ms"]) == steps
    for figures in report["ms"].values():
        assert figures["p50"] <= figures["p90"] <= figures["p99"]
        assert figures["fps"] == pytest.approx(1000 / figures["mean"])
    assert report["setting"]["threads"] == 1
    assert report["setting"]["runs"] == 3
    assert "onnxruntime" in report["setting"]["engine"]


def test_bench_measures_the_pipeline(detector_folder: Path, tmp_path: Path) -> None:
    done = run(
        *("rtmpose-bench", "--threads", 1, "--warm-up", 1, "--runs", 2),
        *("--detector", detector_folder, "--json", "b.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "b.json").read_text())["reports"][0]["ms"]
    assert {"pipeline", "pipeline, detection every 5", "detector", "detector, network", "track"} <= set(
        figures
    )
    assert {name: step["runs"] for name, step in figures.items()} == dict.fromkeys(figures, 2)


def test_the_detectors_size_is_an_option_of_each_command(
    photo_path: Path, coco: dict, tmp_path: Path, called: Called
) -> None:
    small = ("--detector", "rtmdet-nano-own", "--detector-size", "256x320", "--threads", 1)
    done = run("rtmpose-bench", *small, "--warm-up", 0, "--runs", 1, "--json", "b.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [report] = json.loads((tmp_path / "b.json").read_text())["reports"]
    assert report["setting"]["detector size"] == [256, 320]
    shutil.copy(photo_path, tmp_path / "photo.jpg")
    done = called("predict", "photo.jpg", *small, "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [row] = json.loads((tmp_path / "o" / "results.json").read_text())
    with Pipeline(threads=1, detector_size=(256, 320)) as pipeline:
        want = pipeline(read_image(photo_path)).to_dict()
    assert row["persons"] == json.loads(json.dumps(want))["persons"]
    truth = json.loads(coco["file"].read_text())
    truth["images"] = truth["images"][:3]
    kept = {row["id"] for row in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in kept]
    (tmp_path / "t.json").write_text(json.dumps(truth))
    places = ("--annotations", "t.json", "--images", coco["folder"], "--json", "e.json")
    done = called("eval", *small, *places, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "e.json").read_text())["settings"]["detector size"] == [256, 320]
