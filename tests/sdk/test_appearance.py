"""Colours of clothes: taken where they are, not where somebody else or nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtmpose_sdk.appearance import Wardrobe, alikeness, blended
from rtmpose_sdk.keypoint_sets import get_keypoint_set

COCO = get_keypoint_set("coco17")
ROW = {name: i for i, name in enumerate(COCO.names)}
LOOKS = arrays(np.float32, (3, 2, 3), elements=st.floats(0, 255, width=32) | st.just(float("nan")))


def standing() -> tuple[np.ndarray, np.ndarray]:
    """A person 60 px wide whose shirt ends, and trousers begin, at y = 200."""
    points = np.zeros((1, 17, 2), np.float32)
    for side, x in (("left", 130), ("right", 70)):
        for part, y in (("shoulder", 100), ("hip", 200), ("knee", 300)):
            points[0, ROW[f"{side}_{part}"]] = x, y
    return points, np.full((1, 17), 0.9, np.float32)


def test_shirt_and_trousers() -> None:
    picture = np.zeros((400, 300, 3), np.uint8)
    picture[:200, 60:140] = 10, 20, 200
    picture[200:, 60:140] = 180, 40, 30
    points, sure = standing()
    looks = Wardrobe(COCO)(picture, points, sure)
    np.testing.assert_array_equal(looks[0], [[10, 20, 200], [180, 40, 30]])
    sure[0, ROW["left_knee"]] = 0.1
    looks = Wardrobe(COCO)(picture, points, sure)
    assert np.isfinite(looks[0, 0]).all()
    assert np.isnan(looks[0, 1]).all()


def test_nobody_and_keypoints_that_are_nowhere() -> None:
    picture = np.full((40, 30, 3), 7, np.uint8)
    wardrobe = Wardrobe(COCO)
    assert wardrobe(picture, np.empty((0, 17, 2), np.float32), np.empty((0, 17), np.float32)).shape == (
        0,
        2,
        3,
    )
    points, sure = standing()
    np.testing.assert_array_equal(wardrobe(picture, points * 100, sure), 7)  # outside: the nearest px
    hand = get_keypoint_set("hand21")
    found = Wardrobe(hand)(picture, np.ones((2, 21, 2), np.float32), np.ones((2, 21), np.float32))
    assert np.isnan(found).all()


@given(LOOKS, LOOKS)
def test_alikeness_is_a_share_and_the_same_clothes_are_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    alike = alikeness(ours, theirs)
    assert ((alike >= 0) & (alike <= 1)).all()
    np.testing.assert_array_equal(np.diag(alikeness(ours, ours)), 1)
    np.testing.assert_allclose(alike.T, alikeness(theirs, ours), rtol=1e-6)


def test_other_clothes_are_not_alike() -> None:
    red, blue = np.full((1, 2, 3), (0, 0, 220)), np.full((1, 2, 3), (220, 0, 0))
    assert alikeness(red.astype(np.float32), blue.astype(np.float32))[0, 0] < 0.01


def test_memory_goes_on_where_nothing_is_seen() -> None:
    nan = float("nan")
    old = np.array([[100, 100, 100], [nan, nan, nan]], np.float32)
    new = np.array([[nan, nan, nan], [50, 50, 50]], np.float32)
    np.testing.assert_array_equal(blended(old, new, 0.2), [[100] * 3, [50] * 3])
    np.testing.assert_allclose(blended(old, old * 2, 0.2)[0], 120)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_is_a_share(weight: float) -> None:
    from rtmpose_sdk import Tracking
    from rtmpose_sdk.errors import InputError

    with pytest.raises(InputError, match="look_weight"):
        Tracking(look_weight=weight)
