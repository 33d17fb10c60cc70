"""Comparing two models: nothing where they are the same, the right figures where they are not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk import Detector, Predictor
from rtmpose_sdk.benchmarks.compare import _same_bins, compare_boxes, compare_poses, find_rows
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
    with pytest.raises(InputError, match="nothing to compare"):
        compare_boxes(Stub([0, 0, 9, 9]), Stub([50, 50, 60, 60]), find_rows(folder, None))  # type: ignore[arg-type]


def test_nothing_to_compare(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        find_rows(tmp_path / "none", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture to compare on"):
        find_rows(tmp_path / "empty", None)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "rtmpose", "compare", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=300,
            check=False,
            env={"COLUMNS": "160", "PATH": ""},
        )

    done = run(
        "rtmpose-t-own",
        "rtmpose-t-own",
        "--engine-b",
        "openvino",
        "--images",
        folder,
        "--speed",
        "--draw",
        "s.png",
    )
    assert done.returncode == 0, done.stderr
    assert "openvino" in done.stdout
    assert "persons compared" in done.stdout
    assert "times as fast as a" in done.stdout
    assert cv2.imread(str(tmp_path / "s.png")).shape[1] == 4 * 320
    done = run("rtmpose-t-own", "rtmdet-nano-own", "--images", folder)
    assert done.returncode == 1
    assert "is for task pose, rtmdet-nano-own for detect" in done.stderr
    assert "Traceback" not in done.stderr
