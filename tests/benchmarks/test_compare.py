"""Comparing two models: nothing where they are the same, the right figures where they are not."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from rtmpose_sdk import Detector, Pipeline, Predictor
from rtmpose_sdk.benchmarks import latency
from rtmpose_sdk.benchmarks.compare import _same_bins, compare_poses, find_rows
from rtmpose_sdk.benchmarks.compare_boxes import compare_boxes
from rtmpose_sdk.cli.compare import compare
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.results import Detections

BIN = Path(sys.executable).parent


@pytest.fixture
def folder(photo_path: Path, tmp_path: Path) -> Path:
    picture = cv2.imread(str(photo_path))
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "pictures" / "b.png"), picture[:, ::-1])
    return tmp_path / "pictures"


def test_a_model_agrees_with_itself(folder: Path) -> None:
    with Predictor("rtmpose-t-own", threads=1) as a, Detector("rtmdet-nano-own", threads=1) as d:
        found = compare_poses(a, a, find_rows(folder, None))
        assert (found.persons, found.median, found.worst, found.score) == (2, 0, 0, 0)
        boxes = compare_boxes(d, d, find_rows(folder, None, 1))
        assert (boxes.only_a, boxes.only_b, boxes.worst) == (0, 0, 0)


def test_shifts_are_in_px_of_the_network_input(folder: Path) -> None:
    with Predictor("rtmpose-t-own", threads=1) as a, Predictor("rtmpose-t-own", threads=1) as b:
        plain = b._predict

        def shifted(picture: np.ndarray, boxes: np.ndarray) -> object:
            poses = plain(picture, boxes)
            return poses._replace(keypoints=poses.keypoints + np.array([30, 40], np.float32))

        b._predict = shifted
        found = compare_poses(a, b, find_rows(folder, None))
        # The whole picture is the box: 512 px * 1.25 on the 192 px of the input.
        assert found.median == pytest.approx(50 / (512 * 1.25 / 192), rel=1e-3)
        assert found.p99 == pytest.approx(found.median, rel=1e-3)


def test_outputs_are_what_is_decoded(folder: Path) -> None:
    picture = cv2.imread(str(folder / "a.png"))
    boxes = np.array([[100, 0, 400, 500], [150, 20, 350, 300], [0, 0, 512, 512]], np.float32)
    with Predictor("rtmpose-t-own", threads=1, batch_limit=2) as model:
        outputs = model.outputs(picture, boxes)
        assert {name: v.shape for name, v in outputs.items()} == {
            "simcc_x": (3, 17, 384),
            "simcc_y": (3, 17, 512),
        }
        peaks = np.minimum(*(v.max(axis=-1) for v in outputs.values()))
        assert np.allclose(peaks, model(picture, boxes).keypoint_scores, atol=1e-4)
        with pytest.raises(InputError, match="boxes are empty"):
            model.outputs(picture, boxes[:0])


def test_ties_are_set_aside_and_other_shifts_are_not(folder: Path) -> None:
    with Predictor("rtmpose-t-own", threads=1) as a, Predictor("rtmpose-t-own", threads=1) as b:
        plain = b._infer

        def changed(images: np.ndarray) -> dict[str, np.ndarray]:
            outputs = dict(plain(images))
            x = outputs["simcc_x"].copy()
            x[:, :5] = np.roll(x[:, :5], 40, axis=-1)  # 20 px
            # A second bin becomes the highest by a breath, where the first one has it just as high.
            top = x[:, 5:].argmax(axis=-1)[..., None]
            near = np.take_along_axis(x[:, 5:], np.maximum(top - 1, 0), -1)
            high = np.take_along_axis(x[:, 5:], top, -1)
            np.put_along_axis(x[:, 5:], np.maximum(top - 1, 0), high + 1e-3, -1)
            assert (high - near < 0.02 * x.max()).any()
            return outputs | {"simcc_x": x}

        b._infer = changed
        found = compare_poses(a, b, find_rows(folder, None))
        assert found.ties > 0
        assert found.aside_p99 == pytest.approx(20, abs=0.5)


def test_other_input_sizes_have_no_ties(folder: Path) -> None:
    with Predictor("rtmpose-t-own", threads=1) as a, Predictor("rtmpose-t-own", threads=1) as b:
        b.card = dataclasses.replace(b.card, decoder="heatmap")
        assert not _same_bins(a, b)
        b.card = dataclasses.replace(a.card, input_size=(96, 128))
        assert not _same_bins(a, b)
        assert _same_bins(a, a)


def test_boxes_of_one_alone_are_counted(folder: Path) -> None:
    class Stub:
        card = SimpleNamespace(decoder="mmdeploy_dets")

        def __init__(self, *boxes: list[float]) -> None:
            self.boxes = np.array(boxes, np.float32)

        def __call__(self, picture: np.ndarray) -> Detections:
            return Detections(
                self.boxes, np.linspace(0.9, 0.5, len(self.boxes), dtype=np.float32), (512, 512)
            )

    a = Stub([0, 0, 100, 100], [200, 200, 300, 300], [400, 0, 500, 50])
    b = Stub([3, 0, 100, 104], [400, 0, 500, 50])
    found = compare_boxes(a, b, find_rows(folder, None, 1))  # type: ignore[arg-type]
    assert (found.persons, found.only_a, found.only_b) == (2, 1, 0)
    assert found.worst == 4
    assert found.outputs.by_output() == {}  # what NMS has kept cannot be laid beside each other
    pair = found.pictures[0]
    assert (pair.only_a, pair.only_b) == (1, 0)
    assert pair.difference == pytest.approx(1 + (1 - 97 * 100 / (97 * 104 + 3 * 100)))
    with pytest.raises(InputError, match="nothing to compare"):
        compare_boxes(Stub([0, 0, 9, 9]), Stub([50, 50, 60, 60]), find_rows(folder, None))  # type: ignore[arg-type]


def _spoilt(model: Predictor | Detector, change: Callable[[np.ndarray], np.ndarray], name: str) -> None:
    """One of a model's outputs is another one."""
    run, place = model.runtime._infer, model._outputs[name]

    def changed(array: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(change(v.copy()) if i == place else v for i, v in enumerate(run(array)))

    model.runtime._infer = changed  # type: ignore[method-assign]


def _halved(values: np.ndarray) -> np.ndarray:
    return values * np.float32(0.5)


def _broken(values: np.ndarray) -> np.ndarray:
    values.ravel()[:3] = np.nan, np.inf, np.nan
    return values


def test_outputs_are_laid_beside_each_other(folder: Path) -> None:
    """Half of an output is half of its largest value away, whatever the network."""
    with Predictor("rtmpose-t-own", threads=1) as a, Predictor("rtmpose-t-own", threads=1) as b:
        _spoilt(b, _halved, "simcc_y")
        found = compare_poses(a, b, find_rows(folder, None)).outputs
        assert found.by_output()["simcc_x"] == (0, 0)
        assert found.by_output()["simcc_y"].largest == pytest.approx(0.5)
        assert 0 < found.by_output()["simcc_y"].mean < 0.25
        assert found.not_finite == (0, 0)
    with Detector("rtmdet-nano-own", threads=1) as c, Detector("rtmdet-nano-own", threads=1) as d:
        _spoilt(d, _halved, "boxes")
        boxes = compare_boxes(c, c, find_rows(folder, None, 1)).outputs
        assert boxes.by_output() == {"boxes": (0, 0), "scores": (0, 0)}
        c.score_threshold = d.score_threshold = 0.0
        shifted = compare_boxes(c, d, find_rows(folder, None, 1)).outputs
        assert shifted.by_output()["boxes"].largest == pytest.approx(0.5)
        assert shifted.by_output()["scores"] == (0, 0)


def test_what_is_not_finite_is_counted(folder: Path) -> None:
    rows = find_rows(folder, None)
    with Predictor("rtmpose-t-own", threads=1) as a, Predictor("rtmpose-t-own", threads=1) as b:
        _spoilt(b, _broken, "simcc_x")
        found = compare_poses(a, b, rows)
        assert found.outputs.not_finite == (0, 6)  # three in either picture
        assert found.outputs.by_output()["simcc_x"].largest == np.inf
        assert found.outputs.by_output()["simcc_y"].largest == 0
        assert (found.persons, found.median, found.worst, found.pairs) == (2, np.inf, np.inf, [])
        assert compare_poses(b, a, rows).outputs.not_finite == (6, 0)
    with Detector("rtmdet-nano-own", threads=1) as c, Detector("rtmdet-nano-own", threads=1) as d:
        _spoilt(d, _broken, "scores")
        boxes = compare_boxes(c, d, rows)
        assert boxes.outputs.not_finite == (0, 6)
        assert (boxes.worst, boxes.pictures) == (np.inf, [])


def test_a_detectors_command_draws_the_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    sheet = tmp_path / "s[red].png"
    names = ["rtmdet-nano-own", "rtmdet-nano-own", "--images", str(folder), "--draw", str(sheet)]
    names += ["--detection-threshold", "0.05"]  # few of noise have more
    alone = typer.Typer()
    alone.command()(compare)
    done = CliRunner().invoke(alone, [*names, "--size-b", "320x256"])
    assert done.exit_code == 0, done.output
    [sizes] = [line for line in done.output.splitlines() if line.startswith("│ input")]
    assert sizes.split()[3:6:2] == ["384x384", "320x256"]
    refused = CliRunner().invoke(alone, ["rtmpose-t-own", "rtmpose-t-own", *names[2:4], "--size-b", "256"])
    assert "--size-a and --size-b are of detectors" in str(refused.exception)
    refused = CliRunner().invoke(alone, [*names, "--detector", "auto"])
    assert "--detector auto: gives the boxes that poses are compared in" in str(refused.exception)
    done = CliRunner().invoke(alone, names)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""  # no terminal, no bar
    assert f"{sheet}: the pictures that differ most" in done.output
    assert "scores: largest difference / largest value of a" in done.output
    assert "NaN or infinite values of b" in done.output
    drawn = cv2.imread(str(sheet))
    assert drawn.shape == (320 + 16, 2 * 320, 3)
    assert (drawn == (220, 60, 220)).all(axis=-1).sum() > 300  # boxes of the second, over the first's


def test_nothing_to_compare(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        find_rows(tmp_path / "none", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures in this folder"):
        find_rows(tmp_path / "empty", None)


def test_the_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latency, "measure", partial(latency.measure, warm_up=2, runs=10))
    monkeypatch.setattr(latency, "MEASURED_RUNS", 10)

    def run(*arguments: object) -> str:
        words = ["compare", *map(str, arguments), "--threads", "1"]
        done = CliRunner().invoke(app, words, env={"COLUMNS": "160"}, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    own, places = "rtmpose-t-own", ("--images", folder, "--speed", "--draw", "s.png")
    said = run(own, own, "--engine-b", "openvino", *places)
    assert "openvino" in said
    assert "persons compared" in said
    assert "network, p50 ms " in said
    assert "times as fast as a" in said
    assert cv2.imread(str(tmp_path / "s.png")).shape[1] == 2 * 320
    said = run("rtmdet-nano-own", "rtmdet-nano-own", "--images", folder, "--speed")
    assert re.search(r"network, mean ms of \d+ pictures", said)
    done = subprocess.run(
        [BIN / "rtmpose", "compare", own, "rtmdet-nano-own", "--images", folder],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
        env={"COLUMNS": "160", "PATH": ""},
    )
    assert done.returncode == 1
    assert "is for task pose, rtmdet-nano-own for detect" in done.stderr
    assert "Traceback" not in done.stderr


def _annotated(folder: Path, file: Path) -> Path:
    """One person in either picture."""
    whole = {"category_id": 1, "bbox": [0, 0, 512, 512], "area": 100_000, "iscrowd": 0}
    points = [100 + 10 * i for i in range(17)]
    flat = [value for x in points for value in (x, x, 2)]
    rows = [{**whole, "id": i, "image_id": i, "keypoints": flat, "num_keypoints": 17} for i in range(2)]
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(("a.png", "b.png"))],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person"}],
    }
    file.write_text(json.dumps(content))
    return file


def test_ap_is_of_the_pictures_that_are_compared(folder: Path, tmp_path: Path) -> None:
    """A picture beyond the limit may be missing."""
    (folder / "b.png").unlink()
    file = _annotated(folder, tmp_path / "two.json")
    alone = typer.Typer()
    alone.command()(compare)
    words = ["rtmpose-t-own", "rtmpose-t-own", "--images", str(folder), "--annotations", str(file)]
    done = CliRunner().invoke(alone, [*words, "--limit", "1"])
    assert done.exit_code == 0, done.output
    [ap] = [line.split() for line in done.output.splitlines() if "│ AP" in line]
    assert ap[3] == ap[5] != "-"
    refused = CliRunner().invoke(alone, words)
    assert "1 of 2 annotated pictures are missing" in str(refused.exception)


def test_noise_is_nobody(folder: Path) -> None:
    """Boxes that no pipeline poses are not compared."""
    alone = typer.Typer()
    alone.command()(compare)
    words = ["rtmpose-t-own", "rtmpose-t-own", "--images", str(folder), "--detector", "rtmdet-nano-own"]
    words += ["--threads", "1"]
    counts = []
    for more in ([], ["--detection-threshold", "0.1"]):
        done = CliRunner().invoke(alone, [*words, *more])
        assert done.exit_code == 0, done.output
        [row] = [line for line in done.output.splitlines() if "persons compared" in line]
        counts.append(int(row.split()[-2]))
    with Pipeline(threads=1) as pipeline:
        posed = [len(pipeline(cv2.imread(str(file)))) for file in sorted(folder.iterdir())]
    assert counts[0] == sum(posed) < counts[1]
