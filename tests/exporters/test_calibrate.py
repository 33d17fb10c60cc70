"""Which annotations and pictures calibrate: keypoints, boxes alone, pictures here and there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.calibrate import calibration_images
from rtmpose_sdk.exporters.cli import app
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.zoo import find_model

POSE = new_card("rtmpose-t", (192, 256), "coco17")
DETECT = new_card("rtmdet-nano", (320, 320))


def annotations(*rows: dict[str, Any], name: str = "a.jpg") -> str:
    rows = tuple({"id": i, "image_id": 1, "category_id": 1, **row} for i, row in enumerate(rows))
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    images = [{"id": 1, "file_name": name, "width": 512, "height": 512}]
    return json.dumps({"images": images, "annotations": rows, "categories": categories})


@pytest.fixture
def folder(tmp_path: Path, photo_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    shutil.copy(photo_path, tmp_path / "images" / "a.jpg")
    return tmp_path


def test_boxes_alone_are_enough(folder: Path) -> None:
    """Those of persons: no cars, no crowds, none without area."""
    file = folder / "instances.json"
    boxes = [{"bbox": [100, 10, 250, 480]}, {"bbox": [0, 0, 90, 300], "num_keypoints": 0}]
    others = [
        {"bbox": [0, 0, 500, 500], "iscrowd": 1},
        {"bbox": [5, 5, 50, 50], "category_id": 3},
        {"bbox": [5, 5, 0, 50]},
    ]
    file.write_text(annotations(*boxes, *others))
    found = calibration_images(POSE, file, "")
    assert found.shape == (2, 256, 192, 3)
    assert calibration_images(DETECT, file, "").shape == (1, 320, 320, 3)
    file.write_text(annotations(*others))
    with pytest.raises(InputError, match="0 pictures and nobody in them"):
        calibration_images(POSE, file, "")


def test_where_some_have_keypoints_only_they_are_persons(folder: Path) -> None:
    file = folder / "a.json"
    file.write_text(annotations({"bbox": [100, 10, 250, 480], "num_keypoints": 5}, {"bbox": [0, 0, 9, 9]}))
    assert len(calibration_images(POSE, file, "")) == 1


def test_pictures_are_beside_the_json_or_where_is_said(folder: Path, tmp_path: Path) -> None:
    text = annotations({"bbox": [100, 10, 250, 480]})
    beside, apart = folder / "images" / "a.json", folder / "annotations" / "a.json"
    apart.parent.mkdir()
    for file in (beside, apart):
        file.write_text(text)
    want = calibration_images(POSE, beside, "")
    np.testing.assert_array_equal(calibration_images(POSE, apart, "", folder=folder / "images"), want)
    with pytest.raises(InputError, match=r"none of its 1 pictures \(a\.jpg, .*--calibration-images FOLDER"):
        calibration_images(POSE, apart, "")
    beside.unlink()
    with pytest.raises(InputError, match="holds no json"):
        calibration_images(POSE, folder / "images", "", folder=tmp_path)


def test_the_option_is_a_folder(tmp_path: Path) -> None:
    arguments = ["--weights", str(find_model("rtmpose-t-own")), "--out", str(tmp_path / "t.onnx")]
    arguments += ["--precision", "int8", "--calibrate", "a.json", "--calibration-images", "none"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError)
    assert "--calibration-images none: not a folder" in str(done.exception)
