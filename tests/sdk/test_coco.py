"""COCO annotations: persons' boxes, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk.coco import labelled, person_boxes, read_annotations
from rtmpose_sdk.errors import InputError


def test_persons_with_keypoints_only() -> None:
    rows = [
        {"image_id": 1, "bbox": [10, 20, 30, 40], "num_keypoints": 3},
        {"image_id": 1, "bbox": [0, 0, 5, 5], "num_keypoints": 0},
        {"image_id": 2, "bbox": [0, 0, 5, 5], "num_keypoints": 9, "iscrowd": 1},
        {"image_id": 1, "bbox": [1, 2, 3, 4], "num_keypoints": 17, "iscrowd": 0},
    ]
    found = person_boxes({"annotations": rows}, Path("a.json"))
    assert list(found) == [1]
    np.testing.assert_array_equal(found[1], [[10, 20, 40, 60], [1, 2, 4, 6]])


def test_persons_without_a_count_are_counted() -> None:
    seen, hidden = [5, 5, 2, 7, 7, 0], [0, 0, 0, 0, 0, 0]
    rows = [
        {"image_id": 1, "bbox": [0, 0, 5, 5], "keypoints": seen},
        {"image_id": 1, "bbox": [1, 1, 5, 5], "keypoints": hidden},
        {"image_id": 1, "bbox": [2, 2, 5, 5], "keypoints": seen, "num_keypoints": 0},
        {"image_id": 1, "bbox": [3, 3, 5, 5]},
    ]
    assert [labelled(row) for row in rows] == [1, 0, 0, 0]
    found = person_boxes({"annotations": rows}, Path("a.json"))
    assert {k: v.tolist() for k, v in found.items()} == {1: [[0, 0, 5, 5]]}


@pytest.mark.parametrize("row", [{"num_keypoints": 1, "bbox": [1, 2, 3, 4]}, {"bbox": [1]}, {}, 7])
def test_a_broken_annotation_is_named(row: object) -> None:
    with pytest.raises(InputError, match=r"a\.json: annotation"):
        person_boxes({"annotations": [row]}, Path("a.json"))


def test_files_of_another_kind(tmp_path: Path) -> None:
    for text, message in (
        ("{", "not JSON"),
        ("3", "not COCO"),
        (json.dumps({"images": [], "annotations": {}, "categories": []}), "not COCO"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_annotations(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_annotations(tmp_path)
