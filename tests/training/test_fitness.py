"""What a run says of its data, and what stops it, before its first step."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtmpose_sdk.errors import DataError, InputError
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.fitness import check_data
from rtmpose_sdk.training.persons import read_keypoint_set

Change = Callable[[dict[str, Any]], object]


class _Heard:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        return items

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        pass


def _check(
    kites: Path, folder: Path, task: Any, change: Change, validation: bool = False, **values: Any
) -> list[str]:
    """Check a run whose training or validation data were changed; what it said."""
    content = json.loads(kites.read_text())
    change(content)
    changed = folder / "changed.json"
    changed.write_text(json.dumps(content))
    train, val = (kites, changed) if validation else (changed, "")
    images = str(kites.parent / "images")
    config = RunConfig(task, "a name", (str(train),), (images,), str(val), images if val else "", **values)
    heard = _Heard()
    keypoint_set = read_keypoint_set(config.sources) if task == "pose" else None
    check_data(config, keypoint_set, cut=False, progress=heard)
    return heard.lines


def _spoil(content: dict[str, Any]) -> None:
    rows = content["annotations"]
    rows[0]["bbox"] = [300, 10, 20, 20]
    rows[1]["bbox"] = [400, 10, 20, 20]
    rows[2]["keypoints"][0:2] = [500, 20]


def _lose(*numbers: int) -> Change:
    def change(content: dict[str, Any]) -> None:
        for number in numbers:
            content["images"][number]["file_name"] = f"gone/{number}.png"

    return change


def _nothing(content: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("task", ["pose", "detector"])
def test_good_data_says_nothing(task: str, validation: bool, kites: Path, tmp_path: Path) -> None:
    said = _check(kites, tmp_path, task, _nothing, validation)
    assert [line for line in said if "flattered" not in line] == []


@pytest.mark.parametrize("task", ["pose", "detector"])
def test_pictures_that_are_learned_from_and_measured_on_are_counted(
    task: str, kites: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        for row in content["images"][3:]:
            row["file_name"] = f"../images/{row['file_name']}"

    (said,) = _check(kites, tmp_path, task, change, validation=True)
    assert "24 of its 24 pictures are training pictures, too" in said


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("task", ["pose", "detector"])
def test_turned_pictures_are_said_before_the_first_step(
    task: str, validation: bool, kites: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][3].update(width=110, height=120)

    said = _check(kites, tmp_path, task, change, validation)
    assert any("other size: 3.png, file (120, 110), annotation (110, 120): turned by" in s for s in said)
    assert any(line.startswith("look closer: rtmpose data check") for line in said)


@pytest.mark.parametrize("task", ["pose", "detector"])
def test_categories_that_are_left_out_are_said(task: str, kites: Path, tmp_path: Path) -> None:
    """Of two classes, a detector learns one."""

    def change(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 9, "name": "bird"})
        for row in content["annotations"][:5]:
            row["category_id"] = 9

    (said,) = _check(kites, tmp_path, task, change)
    assert "only 'kite' counts; 5 annotations of bird are left out" in said


def test_validation_data_of_boxes_alone_stops_a_pose_run(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for row in content["annotations"]:
            del row["keypoints"], row["num_keypoints"]

    with pytest.raises(DataError, match=r"no annotation has keypoints; .* leave out --val-data"):
        _check(kites, tmp_path, "pose", change, validation=True)


@pytest.mark.parametrize("validation", [False, True])
def test_what_lies_outside_is_said(validation: bool, kites: Path, tmp_path: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        _spoil(content)
        for row in content["annotations"][:2]:
            row["num_keypoints"] = 0  # or an evaluation would crop them

    said = "\n".join(_check(kites, tmp_path, "pose", spoil, validation))
    assert "changed.json: 2 x box outside: annotation 1" in said
    assert "1 x keypoint outside picture: annotation 3, top" in said
    assert "rtmpose data check" in said
    boxes = "\n".join(_check(kites, tmp_path, "detector", _spoil, validation))
    assert "2 x box outside" in boxes
    assert "keypoint" not in boxes


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("task", ["pose", "detector"])
def test_missing_pictures_are_counted_and_listed(
    task: str, validation: bool, kites: Path, tmp_path: Path
) -> None:
    option = "--val-images" if validation else "--images"
    expected = rf"changed\.json: 7 of 24 pictures .* gone/1\.png, .* and 2 more\. .* {option}"
    with pytest.raises(DataError, match=expected):
        _check(kites, tmp_path, task, _lose(1, 2, 3, 4, 5, 6, 7), validation)


@pytest.mark.parametrize("validation", [False, True])
def test_a_missing_picture_of_nobody_stops_a_detector_alone(
    validation: bool, kites: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        _lose(1, 2)(content)
        content["annotations"][1]["iscrowd"] = 1
        if not validation:
            content["annotations"][3]["bbox"][2] = 5  # too small to learn from
            _lose(3)(content)
        content["annotations"][2] |= {"keypoints": [0] * 15, "num_keypoints": 0}

    said = _check(kites, tmp_path, "pose", change, validation)
    assert f"{2 if validation else 3} x missing picture" in "\n".join(said)
    with pytest.raises(DataError, match=r"\d of 24 pictures are missing"):
        _check(kites, tmp_path, "detector", change, validation)
    if not validation:
        with pytest.raises(DataError, match="1 of 22 pictures are missing"):
            _check(kites, tmp_path, "pose", change, teacher="labels them")


def _other_names(content: dict[str, Any]) -> None:
    content["categories"][0]["keypoints"][4] = "string"


def _fewer(content: dict[str, Any]) -> None:
    content["categories"][0]["keypoints"].pop()
    for row in content["annotations"]:
        row["keypoints"] = row["keypoints"][:12]


def _nobody(content: dict[str, Any]) -> None:
    for row in content["annotations"]:
        row["iscrowd"] = 1


def _text_box(content: dict[str, Any]) -> None:
    content["annotations"][3]["bbox"] = ["1", "2", "30", "40"]


def _twice(content: dict[str, Any]) -> None:
    content["annotations"][3]["id"] = 1


def _no_name(content: dict[str, Any]) -> None:
    content["images"][3].pop("file_name")


def test_validation_data_measured_by_pckh_stops_a_run(kites: Path, tmp_path: Path) -> None:
    """MPII's kind: it would end at the first evaluation, which looks for the best AP."""
    content = json.loads(kites.read_text())
    names = get_keypoint_set("mpii16").names
    content["categories"][0] |= {"keypoints": list(names), "skeleton": []}
    for row in content["annotations"]:
        points = np.reshape(row["keypoints"], (-1, 3))
        row["keypoints"] = np.resize(points, (len(names), 3)).ravel().tolist()
    (train := tmp_path / "train.json").write_text(json.dumps(content))
    for row in content["annotations"]:
        row["bbox_head"] = [10, 10, 20, 20]
    (val := tmp_path / "val.json").write_text(json.dumps(content))
    images = str(kites.parent / "images")
    for file in (train, val):
        config = RunConfig("pose", "a name", (str(train),), (images,), str(file), images)
        keypoint_set = read_keypoint_set(config.sources)
        if file == train:
            check_data(config, keypoint_set, cut=False, progress=_Heard())
            continue
        with pytest.raises(DataError, match=r"val\.json: is measured by PCKh"):
            check_data(config, keypoint_set, cut=False, progress=_Heard())


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("pose", _other_names, "those of the training data are top, left_wing"),
        ("pose", _fewer, r"annotations have \[4\] keypoints"),
        ("pose", _nobody, "nobody in the .* has a labelled keypoint"),
        ("pose", _text_box, "no usable bbox"),
        ("pose", _twice, "ids 1 of annotations belong to several"),
        ("pose", lambda content: content["annotations"].__setitem__(3, 7), "annotations 3 is 7"),
        (
            "pose",
            lambda content: content["annotations"][3].update(keypoints=7),
            "keypoints are 7; expected",
        ),
        ("pose", _no_name, "images 3 is"),
        ("detector", _nobody, "no person's box"),
        ("detector", _text_box, "no usable bbox"),
        ("detector", _twice, "ids 1 of annotations belong to several"),
        ("detector", _no_name, "images 3 is"),
        ("detector", lambda content: content["categories"].clear(), "which has none"),
    ],
)
def test_validation_data_that_cannot_be_measured_on_stops_a_run(
    task: str, change: Change, message: str, kites: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"changed\.json: .*{message}"):
        _check(kites, tmp_path, task, change, validation=True)


@pytest.mark.parametrize("size", ["stated", "absent", "wrong"])
@pytest.mark.parametrize(
    ("box", "message"), [([10, 10, 0, 50], "of zero area"), ([500, 500, 50, 50], "wholly outside")]
)
def test_boxes_that_an_evaluation_cannot_crop_stop_a_run(
    box: list[int], message: str, size: str, kites: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][3]["bbox"] = box
        if size == "absent":
            del content["images"][3]["width"], content["images"][3]["height"]
        if size == "wrong":  # the picture is larger, and so nobody is outside
            content["images"][5] |= {"width": 3, "height": 3}

    with pytest.raises(DataError, match=rf"changed\.json: annotation 4 cannot .*{message}"):
        _check(kites, tmp_path, "pose", change, validation=True)

    def unposed(content: dict[str, Any]) -> None:
        change(content)
        content["annotations"][3]["num_keypoints"] = 0

    _check(kites, tmp_path, "pose", unposed, validation=True)


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("task", ["pose", "detector"])
def test_pictures_may_lie_elsewhere(task: str, validation: bool, kites: Path, tmp_path: Path) -> None:
    """Whole paths as file_name, outside the pictures' folder."""

    def change(content: dict[str, Any], folder: Path) -> None:
        for row in content["images"]:
            row["file_name"] = str(folder / row["file_name"])

    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(kites.parent / "images")
    _check(kites, tmp_path, task, lambda content: change(content, elsewhere), validation)
    absent = str(tmp_path / "absent" / "0.png")
    with pytest.raises(DataError, match=re.escape(absent)):
        _check(kites, tmp_path, task, lambda content: change(content, tmp_path / "absent"), validation)


def test_pictures_of_persons_that_were_cut_out_are_not_needed(kites: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    config = RunConfig("pose", "a name", (str(kites),), (str(tmp_path / "images"),))
    keypoint_set = read_keypoint_set(config.sources)
    with pytest.raises(DataError, match="24 of 24 pictures are missing"):
        check_data(config, keypoint_set, cut=False, progress=_Heard())
    check_data(config, keypoint_set, cut=True, progress=_Heard())
