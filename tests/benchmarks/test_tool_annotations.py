"""Annotations as tools write them: what has no keypoints, no size, or shows nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtmpose_sdk.benchmarks.accuracy import Report, evaluate_poses
from rtmpose_sdk.benchmarks.coco_score import BOX_SHARE
from rtmpose_sdk.benchmarks.posers import Task
from rtmpose_sdk.benchmarks.scoring import read_truth
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import keypoint_set_named
from rtmpose_sdk.results import PoseResult

KITE = keypoint_set_named("kite", ("top", "left_wing", "right_wing"))
POINTS = np.array([[[20, 20], [30, 60], [60, 60]]], np.float32)


def _file(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Three pictures of one kite each."""
    flat = [v for x, y in POINTS[0].tolist() for v in (x, y, 2)]
    rows = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 80, 80], "keypoints": flat}
        for i in (1, 2, 3)
    ]
    change(rows)
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in (1, 2, 3)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "kite", "keypoints": list(KITE.names)}],
    }
    (file := folder / "val.json").write_text(json.dumps(content))
    return file


def _measured(file: Path) -> Report:
    """Of somebody who is right in each picture."""

    def pose(tasks: Sequence[Task]) -> Iterator[PoseResult]:
        one = np.ones((1, 3), np.float32)
        for task in tasks:
            assert task.boxes is not None
            yield PoseResult(task.boxes, one[:, 0], POINTS, one, one, KITE, (100, 100))

    return evaluate_poses(pose, KITE, file, file.parent, boxes_given=True)


@pytest.mark.parametrize("values", [None, []])
def test_keypoints_that_are_none_are_as_absent_ones(values: object, tmp_path: Path) -> None:
    report = _measured(_file(tmp_path, lambda rows: rows[0].update(keypoints=values, num_keypoints=0)))
    assert report.persons == 2
    assert report.ap == pytest.approx(1)


def test_an_area_of_nothing_is_none(tmp_path: Path) -> None:
    file = _file(
        tmp_path, lambda rows: [row.update(area=area) for row, area in zip(rows, (0, 0, 5000), strict=True)]
    )
    assert [row["area"] for row in read_truth(file, KITE)["annotations"]] == [
        *[pytest.approx(BOX_SHARE * 80 * 80)] * 2,
        5000,
    ]
    assert _measured(file).ap == pytest.approx(1)


def test_pictures_of_nobody_are_no_detector_s_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"val\.json: no annotation in its 3 pictures"):
        _measured(_file(tmp_path, list.clear))
    with pytest.raises(InputError, match="--boxes-only"):
        _measured(_file(tmp_path, lambda rows: [row.pop("keypoints") for row in rows]))
