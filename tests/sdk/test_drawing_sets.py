"""Every family is drawn in its own colours: what is on the canvas is counted, not how it was put there."""

from __future__ import annotations

import numpy as np
import pytest

from rtmpose_sdk import PoseResult, get_keypoint_set
from rtmpose_sdk.keypoint_sets import keypoint_set_names


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
