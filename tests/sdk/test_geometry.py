"""Crops and letterboxes: MMPose's arithmetic, and the way back."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import check_boxes, crop_boxes, letterbox

sides = st.floats(2, 500)
corners = st.floats(-100, 500)


def _mmpose_matrix(box: np.ndarray, size: tuple[int, int], padding: float) -> np.ndarray:
    """MMPose's rule by three points: centre, the point half a width above it, and their corner."""
    center = (box[:2] + box[2:]) / 2
    width, height = (box[2:] - box[:2]) * padding
    aspect = size[0] / size[1]
    if width > height * aspect:
        height = width / aspect
    else:
        width = height * aspect
    source = np.array([center, center - [0, width / 2], center - [width / 2, width / 2]], np.float32)
    middle = np.array(size) / 2
    half = size[0] / 2
    target = np.array([middle, middle - [0, half], middle - [half, half]], np.float32)
    return cv2.getAffineTransform(source, target)


@given(corners, corners, sides, sides, st.sampled_from([(192, 256), (256, 256), (288, 384)]))
def test_the_way_back_inverts_mmposes_transform(
    x: float, y: float, w: float, h: float, size: tuple[int, int]
) -> None:
    box = np.array([x, y, x + w, y + h], np.float32)
    crops = crop_boxes(np.zeros((50, 50, 3), np.uint8), box[None], size, 1.25)
    points = np.array([[0, 0], [size[0], size[1]], [10.5, 200]], np.float32)
    back = crops.to_picture(points[None])[0]
    forward = cv2.transform(back[None].astype(np.float64), _mmpose_matrix(box, size, 1.25))[0]
    np.testing.assert_allclose(forward, points, atol=0.05)


def test_pixels_are_mmposes(photo: np.ndarray) -> None:
    box = np.array([101.3, 40.7, 300.2, 480.9], np.float32)
    crop = crop_boxes(photo, box[None], (192, 256), 1.25).images[0]
    want = cv2.warpAffine(photo, _mmpose_matrix(box, (192, 256), 1.25), (192, 256), flags=cv2.INTER_LINEAR)
    assert np.abs(crop.astype(int) - want.astype(int)).max() <= 1


def test_outside_of_the_picture_is_black() -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    crop = crop_boxes(white, np.array([[0, 0, 40, 40]], np.float32), (64, 64), 2.0).images[0]
    assert crop[:12].max() == 0
    assert crop[20:44, 20:44].min() == 255


@given(st.integers(1, 900), st.integers(1, 900))
def test_letterbox_keeps_the_picture_inside(width: int, height: int) -> None:
    picture = np.full((height, width, 3), 7, np.uint8)
    canvas, factors = letterbox(picture, (320, 320), 114)
    assert canvas.shape == (320, 320, 3)
    used = (canvas != 114).all(axis=2)
    columns, rows = used[0].sum(), used[:, 0].sum()
    assert max(columns, rows) == 320
    assert used.sum() == columns * rows
    np.testing.assert_allclose(np.array([columns, rows]) * factors[:2], [width, height], rtol=1e-5)


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([(320, 320), (640, 384), (300, 300)]))
def test_a_fitted_letterbox_is_the_full_one_without_empty_steps(
    width: int, height: int, size: tuple[int, int]
) -> None:
    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    full, wanted = letterbox(picture, size, 114)
    fitted, factors = letterbox(picture, size, 114, 32)
    rows, columns = fitted.shape[:2]
    np.testing.assert_array_equal(factors, wanted)
    np.testing.assert_array_equal(fitted, full[:rows, :columns])
    assert (full[rows:] == 114).all()
    assert (full[:, columns:] == 114).all()
    for side, most, used in zip((columns, rows), size, (width, height) / factors[:2], strict=True):
        assert side == most or side % 32 == 0
        assert side - 32 < used - 0.01


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, float("nan"), 5]], "NaN"),
        ([[0, 0, float("inf"), 5]], "infinite"),
        ([[0, 0, 9, 9], [-3e38, 0, 3e38, 9]], "box 1 .* farther than 1000000 px"),
        ([[0, 0, 9, 9], [50, 0, 10, 9]], r"box 1 .* inverted"),
        ([[5, 5, 5, 9]], "zero area"),
        ([[200, 0, 300, 50]], "wholly outside the picture of 100x80 px"),
        ([[-9, -9, 0, 0]], "wholly outside"),
        ([1, 2, 3, 4], r"shape \(4,\)"),
        ([[1, 2, 3]], r"expected \(N,4\)"),
        ("person", "not numbers"),
        (SimpleNamespace(xyxy=[[0, 0, 9, 9]]), r"not numbers .* theirs is in \.xyxy"),
    ],
)
def test_bad_boxes_are_named(boxes: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_boxes(boxes, (100, 80))


def test_good_boxes_pass_unchanged() -> None:
    boxes = [[-20, -20, 5, 5], [0, 0, 100, 80], [99, 79, 200, 200]]
    np.testing.assert_array_equal(check_boxes(boxes, (100, 80)), np.array(boxes, np.float32))
    assert check_boxes([], (100, 80)).shape == (0, 4)


def test_boxes_are_kept_when_the_callers_buffer_is_used_again() -> None:
    buffer = np.array([[1, 2, 30, 40]], np.float32)
    boxes = check_boxes(buffer, (100, 80))
    buffer[:] = 0
    np.testing.assert_array_equal(boxes, [[1, 2, 30, 40]])
