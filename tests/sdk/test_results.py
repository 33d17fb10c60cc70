"""Results: empty is legal, slices keep everything together, conversions keep the numbers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import Detections, PoseResult, get_keypoint_set
from rtmpose_sdk.errors import InputError

COCO = get_keypoint_set("coco17")


def make_result(persons: int) -> PoseResult:
    rng = np.random.default_rng(persons)
    return PoseResult(
        boxes=rng.uniform(0, 99, (persons, 4)).astype(np.float32),
        box_scores=rng.uniform(0, 1, persons).astype(np.float32),
        keypoints=rng.uniform(0, 99, (persons, 17, 2)).astype(np.float32),
        keypoint_scores=rng.uniform(0, 1.2, (persons, 17)).astype(np.float32),
        confidences=rng.uniform(0, 1, (persons, 17)).astype(np.float32),
        keypoint_set=COCO,
        image_size=(100, 80),
        track_ids=np.arange(persons) + 7,
    )


def test_empty_results_can_do_everything() -> None:
    empty = PoseResult.empty(COCO, (100, 80))
    assert len(empty) == 0
    assert list(empty) == []
    assert empty.to_dict()["persons"] == []
    assert empty.to_coco(1) == []
    assert len(empty[:]) == 0
    assert len(empty[np.zeros(0, bool)]) == 0
    picture = np.full((80, 100, 3), 9, np.uint8)
    np.testing.assert_array_equal(empty.draw(picture), picture)
    assert len(Detections.empty((100, 80))[:]) == 0


@pytest.mark.parametrize("index", [0, 2, -1, slice(1, 3), [0, 2], np.array([True, False, True])])
def test_slices_keep_a_persons_values_together(index: object) -> None:
    result = make_result(3)
    part = result[index]
    rows = np.atleast_1d(np.arange(3)[index])
    assert len(part) == len(rows)
    for name in ("boxes", "box_scores", "keypoints", "keypoint_scores", "confidences", "track_ids"):
        np.testing.assert_array_equal(getattr(part, name), getattr(result, name)[rows])
    detections = Detections(result.boxes, result.box_scores, (100, 80))[index]
    np.testing.assert_array_equal(detections.boxes, result.boxes[rows])


def test_results_can_be_compared_and_kept_in_sets() -> None:
    """By who they are: arrays have no one answer to `==`."""
    one, other = make_result(2), make_result(2)
    assert one == one
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize("index", [7, np.int64(7), np.int64(-4)])
def test_a_person_who_is_not_there(index: int) -> None:
    with pytest.raises(IndexError, match="of 3"):
        make_result(3)[index]
    with pytest.raises(IndexError, match="of 3"):
        Detections(np.zeros((3, 4), np.float32), np.zeros(3, np.float32), (9, 9))[index]


def test_iteration_gives_single_persons() -> None:
    result = make_result(3)
    assert [int(p.track_ids[0]) for p in result] == [7, 8, 9]
    with pytest.raises(IndexError, match="person 3 of 3"):
        result[3]
    with pytest.raises(IndexError):
        result[-4]


def test_dict_is_json_with_names() -> None:
    result = make_result(2)
    content = json.loads(json.dumps(result.to_dict()))
    person = content["persons"][1]
    assert list(person["keypoints"]) == list(COCO.names)
    x, y = result.keypoints[1, 9]
    assert person["keypoints"]["left_wrist"]["x"] == pytest.approx(float(x), abs=0.006)
    assert person["keypoints"]["left_wrist"]["y"] == pytest.approx(float(y), abs=0.006)
    assert person["track_id"] == 8
    assert content["image_size"] == [100, 80]


def test_ids_of_tables_become_json() -> None:
    rows = make_result(1).to_coco(np.int64(3))
    assert json.loads(json.dumps(rows))[0]["image_id"] == 3


def test_coco_results() -> None:
    result = make_result(2)
    rows = result.to_coco(42)
    assert [r["image_id"] for r in rows] == [42, 42]
    triples = np.array(rows[1]["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(triples[:, :2], result.keypoints[1], atol=1e-3)
    assert rows[1]["score"] == pytest.approx(float(result.keypoint_scores[1].mean()))


def test_values_of_other_kinds_are_named() -> None:
    with pytest.raises(InputError, match=r"boxes is list; expected an array \(1, 4\)"):
        Detections([[0, 0, 1, 1]], np.ones(1, np.float32), (9, 9))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not a result as"):
        PoseResult.from_dict({**make_result(1).to_dict(), "keypoint_set": None})


def test_a_result_is_one_line_in_a_log() -> None:
    result = make_result(2)
    assert repr(result) == "<PoseResult: 2 persons, picture 100x80, coco17, tracked>"
    assert repr(PoseResult.empty(COCO, (9, 8))) == "<PoseResult: 0 persons, picture 9x8, coco17>"
    one = Detections(result.boxes[:1], result.box_scores[:1], (100, 80))
    assert repr(one) == "<Detections: 1 person, picture 100x80>"


def test_a_keypoint_by_name_is_told() -> None:
    with pytest.raises(InputError, match=r"keypoints\[:, result\.keypoint_set\.names\.index\('nose'\)\]"):
        make_result(2)["nose"]  # type: ignore[index]


def test_numbers_of_other_kinds_become_float32() -> None:
    given = Detections(np.array([[0, 0, 9, 9]]), np.array([1]), (9, 9))
    assert given.boxes.dtype == given.scores.dtype == np.float32
    one = make_result(1)
    other = dataclasses.replace(one, box_scores=np.ones(1, int), depths=np.zeros((1, 17)))
    assert other.box_scores.dtype == other.depths.dtype == np.float32
    assert other.keypoints is one.keypoints
    with pytest.raises(InputError, match=r"scores is of <U1; expected numbers"):
        Detections(np.zeros((1, 4)), np.array(["a"]), (9, 9))


def test_nobody_is_untracked_after_the_way_through_a_dict() -> None:
    assert PoseResult.from_dict(PoseResult.empty(COCO, (9, 9)).to_dict()).track_ids is None


def test_a_dicts_keypoint_set_may_be_named(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps(COCO.definition()))
    content = {**make_result(2).to_dict(), "keypoint_set": "own"}
    assert PoseResult.from_dict(content, "coco17").keypoint_set is COCO
    assert PoseResult.from_dict(content, own).keypoint_set.name == "own"
    with pytest.raises(InputError, match=r"^unknown keypoint set 'coco71'"):
        PoseResult.from_dict(content, "coco71")


def test_shapes_that_do_not_fit_are_named() -> None:
    good = make_result(2)
    with pytest.raises(InputError, match=r"keypoints has shape \(2, 16, 2\); expected \(2, 17, 2\)"):
        PoseResult(
            good.boxes,
            good.box_scores,
            good.keypoints[:, :16],
            good.keypoint_scores,
            good.confidences,
            COCO,
            (9, 9),
        )
    with pytest.raises(InputError, match="scores"):
        Detections(good.boxes, good.box_scores[:1], (9, 9))


def test_drawing_shows_what_is_confident_and_nothing_else(photo: np.ndarray) -> None:
    result = dataclasses.replace(make_result(1), image_size=(512, 512))
    result.keypoints[0] = np.linspace(50, 450, 34, dtype=np.float32).reshape(17, 2)
    result.confidences[0] = 0.2
    result.boxes[0] = [5, 5, 500, 500]
    quiet = result.draw(photo)
    left_wrist = tuple(result.keypoints[0, 9].round().astype(int))
    assert (quiet[left_wrist[1], left_wrist[0]] == photo[left_wrist[1], left_wrist[0]]).all()
    result.confidences[0, 9] = 0.9
    loud = result.draw(photo)
    assert (loud[left_wrist[1], left_wrist[0]] != photo[left_wrist[1], left_wrist[0]]).any()
    changed = np.argwhere((loud != quiet).any(axis=2))[:, ::-1]
    assert np.abs(changed - left_wrist).max() < 10


@pytest.mark.parametrize("name", ["coco17", "halpe26", "coco_wholebody133", "hand21", "ap10k17"])
def test_keypoint_sets_are_consistent(name: str) -> None:
    keypoint_set = get_keypoint_set(name)
    flip = np.array(keypoint_set.flip_indices)
    np.testing.assert_array_equal(flip[flip], np.arange(len(keypoint_set)))
    assert len(keypoint_set.oks_sigmas) == len(keypoint_set)
    assert all(0 <= i < len(keypoint_set) for bone in keypoint_set.skeleton for i in bone)
    for i, j in enumerate(flip):
        left = keypoint_set.names[i]
        assert left.replace("left", "right") == keypoint_set.names[j] or not left.startswith("left_")
