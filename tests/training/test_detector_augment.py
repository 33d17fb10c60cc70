"""Do boxes stay on what they were put around?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtmpose_sdk.training.detector_augment import STRONG, WEAK, DetectorAugmentation, Labelled, vary

SIDE = (160, 160)
_PLAIN = {"hue": 0.0, "saturation": 0.0, "value": 0.0, "mixup": 0.0}


def _picture(index: int) -> Labelled:
    """Black, with one white rectangle, which is the person."""
    rng = np.random.default_rng(index)
    height, width = rng.integers(90, 200, 2)
    image = np.zeros((height, width, 3), np.uint8)
    x, y = rng.integers(5, 40, 2)
    w, h = rng.integers(25, 45, 2)
    image[y : y + h, x : x + w] = 255
    box = np.array([[x, y, x + w, y + h]], np.float32)
    return Labelled(image, box, np.zeros((0, 4), np.float32))


def _vary(seed: int, how: DetectorAugmentation) -> Labelled:
    rng = np.random.default_rng(seed)
    return vary(rng, seed % 7, lambda: int(rng.integers(7)), _picture, SIDE, how)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from([0.0, 1.0]))
@example(65535, 1.0)  # a box of a tenth of a px at the border
def test_boxes_are_around_the_white_rectangles(seed: int, mosaic: float) -> None:
    made = _vary(seed, DetectorAugmentation(mosaic=mosaic, **_PLAIN))
    assert made.image.shape == (160, 160, 3)
    assert (made.boxes >= 0).all()
    assert (made.boxes <= 160).all()
    white = made.image[..., 0] > 200
    covered = np.zeros_like(white)
    for x1, y1, x2, y2 in np.concatenate([made.boxes, made.ignored]):
        inner = white[int(y1) + 2 : max(int(y2) - 1, 0), int(x1) + 2 : max(int(x2) - 1, 0)]
        assert inner.all()
        low, high = max(int(y1) - 2, 0), int(y2) + 3
        covered[low:high, max(int(x1) - 2, 0) : int(x2) + 3] = True
    assert not (white & ~covered).any()


def test_hardly_visible_persons_are_ignored_not_taught() -> None:
    kinds = [_vary(seed, DetectorAugmentation(mosaic=0.0, **_PLAIN)) for seed in range(300)]
    assert any(len(k.ignored) for k in kinds)
    assert sum(len(k.boxes) for k in kinds) > 150
    for made in kinds:
        sides = made.boxes[:, 2:] - made.boxes[:, :2]
        assert (sides >= 3 - 1e-3).all()


def test_mix_up_shows_both_pictures_half() -> None:
    made = _vary(3, DetectorAugmentation(mosaic=0.0, **{**_PLAIN, "mixup": 1.0}, scale=(0.9, 1.0)))
    assert len(made.boxes) == 2
    values = np.unique(made.image[..., 0])
    assert ((values > 100) & (values < 150)).any()


@pytest.mark.parametrize("how", [STRONG, WEAK])
def test_the_same_seed_gives_the_same_picture(how: DetectorAugmentation) -> None:
    first, second = _vary(11, how), _vary(11, how)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.boxes, second.boxes)
    assert not np.array_equal(first.image, _vary(12, how).image)
