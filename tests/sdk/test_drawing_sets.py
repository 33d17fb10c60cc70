"""Every family is drawn in its own colours: what is on the canvas is counted, not how it was put there."""

from __future__ import annotations

import numpy as np
import pytest

from rtmpose_sdk import PoseResult, get_keypoint_set
from rtmpose_sdk.drawing import Painter, face_keypoints
from rtmpose_sdk.keypoint_sets import keypoint_set_from, keypoint_set_names


def spread(name: str) -> PoseResult:
    """One person whose keypoints stand on a grid."""
    kept = get_keypoint_set(name)
    k = np.arange(len(kept))
    keypoints = np.stack([40 + 50 * (k % 12), 40 + 50 * (k // 12)], axis=1).astype(np.float32)[None]
    ones = np.ones((1, len(kept)), np.float32)
    box = np.array([[5, 5, 690, 690]], np.float32)
    return PoseResult(box, np.ones(1, np.float32), keypoints, ones, ones, kept, (700, 700))


@pytest.mark.parametrize("name", keypoint_set_names())
def test_each_keypoint_is_there_in_its_colour(name: str) -> None:
    result = spread(name)
    drawn = result.draw(np.zeros((700, 700, 3), np.uint8), 0.0)
    for (x, y), color in zip(result.keypoints[0].astype(int), result.keypoint_set.colors, strict=False):
        patch = drawn[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int)
        assert (np.abs(patch - color).max(axis=1) < 40).any(), (x, y)
    assert (drawn.max(axis=2) > 60).sum() > 9 * len(result.keypoint_set)


def test_a_whole_bodys_parts_differ() -> None:
    whole = get_keypoint_set("coco_wholebody133")
    colors = {part: set(whole.colors[slice(*places)]) for part, places in whole.parts.items()}
    for one in colors:
        for other in colors:
            assert one == other or not colors[one] & colors[other]


def test_contours_of_a_face_are_drawn() -> None:
    result = spread("lapa106")
    with_lines = result.draw(np.zeros((700, 700, 3), np.uint8), 0.0)
    (x1, y1), (x2, y2) = result.keypoints[0][[0, 1]].astype(int)
    assert with_lines[(y1 + y2) // 2, (x1 + x2) // 2].max() > 100


@pytest.mark.parametrize(
    ("name", "is_face"),
    [
        ("left_ear", True), ("leftEar", True), ("LEar", True), ("EarL", True), ("EAR_R", True),
        ("lear", True), ("Left Ear", True), ("ear", True), ("ears", True), ("leftear", True),
        ("ear_base_l", True), ("left_eyebrow", True), ("forehead", True), ("nosetip", True),
        ("top_head", True), ("face-12", True), ("mouth.left", True), ("chin", True), ("snout", True),
        ("nose", True), ("l_eye_inner", True),
        ("left_forearm", False), ("forearm", False), ("ForearmL", False), ("rear_left_paw", False),
        ("Rear", False), ("left_shoulder", False), ("flipper", False), ("spear", False), ("neck", False),
        ("hip", False), ("machine", False), ("lips", True),
    ],
)  # fmt: skip
def test_a_face_is_found_by_whole_words(name: str, is_face: bool) -> None:
    made = keypoint_set_from("x", {"keypoints": [name, "tail"]})
    assert face_keypoints(made) == ((0,) if is_face else ())


def test_rear_is_an_ear_beside_its_mirror_alone() -> None:
    assert face_keypoints(keypoint_set_from("x", {"keypoints": ["lear", "rear", "tail"]})) == (0, 1)


@pytest.mark.parametrize("sure", [0.9, 0.0])
@pytest.mark.parametrize("name", ["lapa106", "face68"])
def test_a_box_of_a_face_is_hidden_whole(name: str, sure: float) -> None:
    kept = get_keypoint_set(name)
    places = np.stack(
        [70 + 10 * (np.arange(len(kept)) % 12), 70 + 14 * (np.arange(len(kept)) // 12)], axis=1
    )
    confidences = np.full((1, len(kept)), sure, np.float32)
    box = np.array([[50, 50, 200, 220]], np.float32)
    poses = PoseResult(box, confidences[:, 0], places[None], confidences, confidences, kept, (300, 300))
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    drawn = Painter(1.0, boxes=False, hide_faces=True)(noise, poses)
    left = (drawn == noise).all(axis=2)[70:190, 70:185]
    assert left.mean() < 0.01


@pytest.mark.parametrize("neck_is_sure", [True, False])
@pytest.mark.parametrize(
    ("name", "top", "neck"),
    [
        ("mpii16", "head_top", "upper_neck"),
        ("aic14", "head_top", "neck"),
        ("crowdpose14", "top_head", "neck"),
    ],
)
def test_a_face_below_the_top_of_a_head_is_hidden(
    name: str, top: str, neck: str, neck_is_sure: bool
) -> None:
    kept = get_keypoint_set(name)
    places = np.full((1, len(kept), 2), (150, 250), np.float32)
    places[0, kept.names.index(top)] = 150, 20
    places[0, kept.names.index(neck)] = 150, 68
    confidences = np.full((1, len(kept)), 0.9, np.float32)
    confidences[0, kept.names.index(neck)] = 0.9 if neck_is_sure else 0.0
    box = np.array([[100, 15, 200, 295]], np.float32)
    poses = PoseResult(box, np.ones(1, np.float32), places, confidences, confidences, kept, (300, 300))
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    kept_pixels = (Painter(1.0, boxes=False, hide_faces=True)(noise, poses) == noise).all(axis=2)
    assert kept_pixels[22:60, 140:160].mean() < 0.01
    assert kept_pixels[150:].all()
