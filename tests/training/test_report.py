"""What a run's report shows: its curves, and what the artifact gets most wrong."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rtmpose_sdk.detector import Detector
from rtmpose_sdk.training import worst_persons, worst_pictures
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.report import write_curves

DATA = Path(str(resources.files("rtmpose_sdk"))) / "data"


def test_curves_have_no_empty_panel(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,simcc,loss\n1,3,3\n2,2,2\n")
    write_curves(tmp_path, tmp_path / "one.png")
    (tmp_path / "figures.csv").write_text("step,AP\n2,0.5\n")
    write_curves(tmp_path, tmp_path / "two.png")
    one, two = (cv2.imread(str(tmp_path / f"{name}.png")).shape for name in ("one", "two"))
    assert one[0] == two[0]
    assert 2 * one[1] == pytest.approx(two[1], abs=2)


def _source(photo_path: Path, folder: Path, *rows: dict[str, Any]) -> Source:
    content = {
        "images": [{"id": 1, "file_name": photo_path.name}],
        "annotations": [
            {"id": 77 + i, "image_id": 1, "category_id": 1, **row} for i, row in enumerate(rows)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    (file := folder / "val.json").write_text(json.dumps(content))
    return Source(file, photo_path.parent)


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written above tiles."""
    seen: list[str] = []

    def sheet(tiles: list[np.ndarray], texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return tiles[0]

    for module in (worst_persons, worst_pictures):
        monkeypatch.setattr(module, "contact_sheet", sheet)
    return seen


def test_boxes_that_a_pipeline_leaves_out_are_no_mistakes(
    photo: np.ndarray, photo_path: Path, tmp_path: Path, captions: list[str]
) -> None:
    artifact = DATA / "rtmdet-nano-own.onnx"
    with Detector(artifact, threads=1) as detector:
        every, taken = detector(photo).boxes, detector(photo, 0.3).boxes.tolist()
    assert 0 < len(taken) < len(every)
    rows = [{"bbox": [x1, y1, x2 - x1, y2 - y1]} for x1, y1, x2, y2 in taken]
    source = _source(photo_path, tmp_path, *rows)
    assert worst_pictures.write_worst_pictures(source, artifact, tmp_path / "worst.jpg") == 0
    source = _source(photo_path, tmp_path, *rows, {"bbox": [0, 0, 20, 20]})
    assert worst_pictures.write_worst_pictures(source, artifact, tmp_path / "worst.jpg") == 1
    assert captions == [f"1 missed, 0 false  {photo_path.name[-8:]}"]


def test_the_worst_persons_are_named(photo_path: Path, tmp_path: Path, captions: list[str]) -> None:
    row = {"bbox": [20, 5, 400, 500], "keypoints": [100, 100, 2] * 17, "num_keypoints": 17}
    source = _source(photo_path, tmp_path, row)
    artifact = DATA / "rtmpose-t-own.onnx"
    assert worst_persons.write_worst_persons(source, artifact, tmp_path / "worst.jpg") == 1
    assert captions[0].endswith("  id 77")
