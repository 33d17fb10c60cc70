"""Sets into sets: by name, middles, parts; and sets of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import ModelCard, PoseResult, convert_keypoints, get_keypoint_set, part_of
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import keypoint_set_from, keypoint_set_names


def poses(name: str, persons: int = 2) -> PoseResult:
    """Keypoint k of person n is at (10 k + n, 7 k), its score k / 10."""
    kept = get_keypoint_set(name)
    k = np.arange(len(kept), dtype=np.float32)
    keypoints = np.stack([np.stack([10 * k + n, 7 * k], axis=1) for n in range(persons)])
    scores = np.tile(k / 10, (persons, 1)).astype(np.float32)
    return PoseResult(
        boxes=np.tile(np.array([0, 0, 9, 9], np.float32), (persons, 1)),
        box_scores=np.ones(persons, np.float32),
        keypoints=keypoints.astype(np.float32),
        keypoint_scores=scores,
        confidences=np.clip(scores, 0, 1),
        keypoint_set=kept,
        image_size=(2000, 1000),
    )


def test_coco_to_openpose_and_back() -> None:
    result = poses("coco17")
    for target in ("openpose18", "openpose25"):
        there = convert_keypoints(result, target)
        names = there.keypoint_set.names
        want = (result.keypoints[:, 5] + result.keypoints[:, 6]) / 2
        np.testing.assert_allclose(there.keypoints[:, names.index("neck")], want)
        np.testing.assert_allclose(there.keypoint_scores[:, names.index("neck")], 0.5)  # the smaller
        back = convert_keypoints(there, "coco17")
        np.testing.assert_allclose(back.keypoints, result.keypoints)
        np.testing.assert_allclose(back.keypoint_scores, result.keypoint_scores)
    feet = there.keypoint_set.names.index("left_big_toe")
    assert there.confidences[:, feet].tolist() == [0, 0]
    assert there.keypoints[:, feet].tolist() == [[0, 0], [0, 0]]


def test_the_order_is_openposes() -> None:
    """Their documentation numbers the joints: BODY_25 and COCO."""
    names = get_keypoint_set("openpose25").names
    assert names[:9] == (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist", "hip"),
    )
    assert names[15:20] == ("right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe")
    assert get_keypoint_set("openpose18").names[14:] == ("right_eye", "left_eye", "right_ear", "left_ear")


def test_halpe_to_coco_and_openpose() -> None:
    result = poses("halpe26")
    np.testing.assert_allclose(convert_keypoints(result, "coco17").keypoints, result.keypoints[:, :17])
    there = convert_keypoints(result, "openpose25")
    assert (there.confidences[:, 1:] > 0).all()  # halpe26 has all of them; keypoint 0 has score 0 here
    neck = there.keypoint_set.names.index("neck")
    np.testing.assert_allclose(there.keypoints[:, neck], result.keypoints[:, 18])  # its own, no middle


def test_whole_body_into_its_parts() -> None:
    result = poses("coco_wholebody133")
    for part, name, first in (
        ("body", "coco17", 0),
        ("feet", "feet6", 17),
        ("face", "face68", 23),
        ("left_hand", "hand21", 91),
        ("right_hand", "hand21", 112),
    ):
        cut = part_of(result, part)
        assert cut.keypoint_set.name == name
        count = len(cut.keypoint_set)
        np.testing.assert_array_equal(cut.keypoints, result.keypoints[:, first : first + count])
        assert cut.boxes[0].tolist() == [
            10 * first,
            7 * first,
            10 * (first + count - 1),
            7 * (first + count - 1),
        ]
    halpe = part_of(poses("halpe26"), "feet")
    assert halpe.keypoint_set.names[0] == "left_big_toe"
    with pytest.raises(InputError, match="coco17 has no part 'face'; it has none"):
        part_of(poses("coco17"), "face")
    body = convert_keypoints(result, "openpose25")
    np.testing.assert_allclose(body.keypoints[:, 19], result.keypoints[:, 17])  # left big toe


def test_nothing_in_common_and_nobody() -> None:
    with pytest.raises(InputError, match="hand21 and coco17 have no keypoint in common"):
        convert_keypoints(poses("hand21"), "coco17")
    assert convert_keypoints(poses("coco17")[:0], "openpose18").keypoints.shape == (0, 18, 2)
    assert part_of(poses("coco_wholebody133")[:0], "face").keypoints.shape == (0, 68, 2)


@pytest.mark.parametrize("name", keypoint_set_names())
def test_every_set_is_whole(name: str) -> None:
    """Flips are pairs; lines and colours are the same on both sides; parts cover the set."""
    kept = get_keypoint_set(name)
    flip = kept.flip_indices
    assert [flip[i] for i in flip] == list(range(len(kept)))
    for lines in (kept.skeleton, kept.outlines):
        both = {frozenset(line) for line in lines}
        mirrored = {frozenset((flip[a], flip[b])) for a, b in lines}
        assert len(both ^ mirrored) <= 2  # the published AIC and crowd skeletons have a one-sided bone
    assert not kept.colors or len(set(kept.colors)) > 1
    if kept.parts:
        assert sorted(i for a, b in kept.parts.values() for i in range(a, b)) == list(range(len(kept)))
    again = keypoint_set_from(name, kept.definition())
    assert again == kept


def test_sets_are_those_that_were_published(shared: Path) -> None:
    facts = json.loads((shared / "facts" / "keypoint_sets.json").read_text())
    for name, fact in facts.items():
        ours = get_keypoint_set(name)
        assert list(ours.names) == fact["keypoints"]
        assert list(ours.flip_indices) == fact["flip_indices"]
        assert [list(bone) for bone in ours.skeleton] == fact["skeleton"]
        assert list(ours.oks_sigmas) == fact["oks_sigmas"]


def test_a_set_of_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "dog.json"
    file.write_text(
        json.dumps(
            {
                "keypoints": ["snout", "ear_l", "ear_r", "tail"],
                "skeleton": [["snout", "ear_l"], [0, 2], ["snout", "tail"]],
                "flip_pairs": [["ear_l", "ear_r"]],
                "sigmas": [0.03, 0.04, 0.04, 0.1],
                "colors": ["#ff0000", "#00ff00", "#0000ff", "#123456"],
            }
        )
    )
    dog = get_keypoint_set(str(file))
    assert dog.name == "dog"
    assert dog.flip_indices == (0, 2, 1, 3)
    assert dog.skeleton == ((0, 1), (0, 2), (0, 3))
    assert dog.colors[0] == (0, 0, 255)  # BGR
    card = ModelCard(
        **{"name": "d", "task": "pose", "input_size": (64, 64), "decoder": "simcc", "color_order": "rgb"},
        **{"mean": (0, 0, 0), "std": (1, 1, 1), "input_layout": "nchw", "input_dtype": "float32"},
        keypoint_set=dog.name,
        keypoint_definition=dog.definition(),
    )
    assert ModelCard.from_json(card.to_json(), "x").keypoints() == dog


def test_a_set_may_be_given_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "eyes.json"
    file.write_text(json.dumps({"keypoints": ["left_eye", "right_eye"]}))
    assert get_keypoint_set(file) == get_keypoint_set(str(file))
    assert convert_keypoints(poses("coco17"), file).keypoint_set.name == "eyes"
    with pytest.raises(InputError, match="a keypoint set is 5; expected its name, or the path"):
        get_keypoint_set(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"keypoints": []}', "keypoints do not fit"),
        ('{"keypoints": ["a", "a"]}', "keypoints do not fit"),
        ('{"keypoints": ["a"], "skeleton": [["a", "b"]]}', "'b'"),
        ('{"keypoints": ["a"], "skeleton": [[0, 1]]}', "skeleton do not fit its 1"),
        ('{"keypoints": ["a", "b", "c"], "flip_indices": [1, 2, 0]}', "flip_indices do not fit"),
        ('{"keypoints": ["a"], "colors": ["red"]}', "non-hexadecimal"),
        ('{"keypoints": ["a"], "sigmas": [0]}', "oks_sigmas do not fit"),
        ("[1]", "found list"),
        ("{", "expected JSON"),
    ],
)
def test_broken_set_files(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "s.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        get_keypoint_set(str(file))
