"""What an artifact is verified with, and which of its mistakes are shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.training.artifact import artifact_inputs
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.persons import read_keypoint_set
from rtmpose_sdk.training.worst_pictures import mistakes

from .conftest import draw_kites


def test_a_detector_is_verified_with_pictures_in_folders(tmp_path: Path) -> None:
    file = draw_kites(tmp_path / "data", 3)
    content = json.loads(file.read_text())
    (file.parent / "images" / "day" / "one").mkdir(parents=True)
    for row in content["images"]:
        name = f"day/one/{row['file_name']}"
        (file.parent / "images" / row["file_name"]).rename(file.parent / "images" / name)
        row["file_name"] = name
    file.write_text(json.dumps(content))
    config = RunConfig("detector", "rtmdet-nano", (str(file),), (str(file.parent / "images"),))
    inputs = artifact_inputs(new_card("rtmdet-nano", (64, 64), ""), config)
    assert inputs.shape == (3, 64, 64, 3)
    assert (inputs.reshape(3, -1).std(axis=1) > 5).all()


def _pose_inputs(file: Path, images: Path) -> np.ndarray:
    config = RunConfig("pose", "rtmpose-t", (str(file),), (str(images),), str(file), str(images))
    card = new_card("rtmpose-t", (64, 64), read_keypoint_set(config.sources))
    return artifact_inputs(card, config)


def test_a_pose_network_is_verified_with_persons_that_training_uses(kites: Path, tmp_path: Path) -> None:
    """Whatever num_keypoints says; boxes that show nothing only made training warn."""
    content = json.loads(kites.read_text())
    rows = content["annotations"] = content["annotations"][:6]
    rows[0]["bbox"] = [500, 10, 50, 50]
    rows[1]["bbox"][2] = 0
    for row in rows:
        row["num_keypoints"] = 0
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(content))
    inputs = _pose_inputs(file, kites.parent / "images")
    assert inputs.shape == (4, 64, 64, 3)
    assert (inputs.reshape(4, -1).std(axis=1) > 5).all()


def test_a_pose_network_is_verified_when_its_pictures_are_gone(kites: Path, tmp_path: Path) -> None:
    """They were cut out at the start."""
    inputs = _pose_inputs(kites, tmp_path)
    assert inputs.shape[1:] == (64, 64, 3)
    assert inputs.std() > 5


def _boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("persons", "crowds", "boxes", "missed", "false"),
    [
        (_boxes(), _boxes(), _boxes(), [], []),
        (_boxes((0, 0, 10, 10)), _boxes(), _boxes(), [True], []),
        (_boxes(), _boxes(), _boxes((0, 0, 10, 10)), [], [True]),
        # The second box of one person is false; IoU 0.5 is enough, less is not.
        (_boxes((0, 0, 10, 10)), _boxes(), _boxes((0, 0, 10, 10), (0, 0, 10, 9)), [False], [False, True]),
        (_boxes((0, 0, 10, 10)), _boxes(), _boxes((0, 0, 10, 5)), [False], [False]),
        (_boxes((0, 0, 10, 10)), _boxes(), _boxes((0, 0, 10, 4.9)), [True], [True]),
        # The best box takes the person that it covers most, the next one the other.
        (_boxes((0, 0, 10, 10), (2, 0, 12, 10)), _boxes(), _boxes((2, 0, 12, 10), (1, 0, 11, 10)),
         [False, False], [False, False]),
        # In a crowd nobody is boxed one by one.
        (_boxes(), _boxes((0, 0, 50, 50)), _boxes((5, 5, 15, 15), (48, 5, 58, 15)), [], [False, True]),
    ],
)  # fmt: skip
def test_a_box_answers_for_one_person(
    persons: np.ndarray, crowds: np.ndarray, boxes: np.ndarray, missed: list[bool], false: list[bool]
) -> None:
    wrong = mistakes(persons, crowds, boxes)
    assert wrong.missed.tolist() == missed
    assert wrong.false.tolist() == false
