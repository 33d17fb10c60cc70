"""Do keypoints stay on what they were put on, whatever happens to the picture?"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtmpose_sdk.keypoint_sets import get_keypoint_set, keypoint_set_named
from rtmpose_sdk.training.canvases import Canvases, canvas_size, warp_canvases, warp_on_device
from rtmpose_sdk.training.pose import network_input
from rtmpose_sdk.training.pose_augment import NONE, STRONG, WEAK, PoseAugmentation, sample_crops

SIZE = (96, 128)
COCO = get_keypoint_set("coco17")


def _person(seed: int, count: int = 4) -> Canvases:
    """Canvases with a dot of its own grey level on every keypoint, and 17 keypoints around the middle."""
    rng = np.random.default_rng(seed)
    width, height = canvas_size(SIZE)
    keypoints = rng.uniform((50, 60), (width - 50, height - 60), (count, 17, 2)).astype(np.float32)
    return Canvases(
        np.zeros((count, height, width, 3), np.uint8),
        keypoints,
        np.ones((count, 17), np.float32),
        SIZE,
        tuple(range(count)),
    )


def _sample(canvases: Canvases, seed: int, how: PoseAugmentation):
    rng = np.random.default_rng(seed)
    return sample_crops(rng, canvases.keypoints, canvases.weights, canvas_size(SIZE), SIZE, COCO, how)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
@example(1200)  # a dot that half a body's zoom makes wider than the margin was
def test_a_dot_drawn_on_a_keypoint_is_found_where_the_keypoint_went(seed: int) -> None:
    canvases = _person(seed, count=2)
    sample = _sample(canvases, seed, STRONG)
    order = np.array(COCO.flip_indices)
    for i in range(2):
        area = np.linalg.det(sample.matrices[i, :, :2])
        mirrored, radius = area < 0, 5 * np.sqrt(np.abs(area))
        for k in (0, 5, 10):
            place = sample.keypoints[i, k]
            whole = (place > radius + 1).all() and (place < np.array(SIZE) - radius - 2).all()
            if sample.weights[i, k] == 0 or not whole:
                continue
            source = order[k] if mirrored else k
            canvas = np.zeros_like(canvases.images)
            cv2.circle(
                canvas[i],
                np.rint(canvases.keypoints[i, source] * 16).astype(int).tolist(),
                5 * 16,
                (255, 255, 255),
                cv2.FILLED,
                cv2.LINE_AA,
                4,
            )
            warped = warp_canvases(canvas, np.array([i]), sample.matrices[i : i + 1], SIZE)[0, ..., 0]
            moments = cv2.moments(warped)
            found = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
            assert np.abs(found - place).max() < 0.75


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_strengths_hold(seed: int) -> None:
    canvases = _person(seed, count=16)
    sample = _sample(canvases, seed, STRONG)
    linear = sample.matrices[..., :2]
    scale = np.sqrt(np.abs(np.linalg.det(linear)))
    angle = np.degrees(np.arctan2(np.abs(linear[:, 0, 1]), np.abs(linear[:, 0, 0])))
    assert (angle <= 80.01).all()
    assert (scale >= 1 / 1.4 - 1e-4).all()
    holes = sample.holes[:, 2:] - sample.holes[:, :2]
    assert (holes >= 0.2 * np.array(SIZE) - 1).all()
    assert (holes <= 0.4 * np.array(SIZE) + 1).all()
    outside = (sample.keypoints < 0).any(2) | (sample.keypoints > np.array(SIZE) - 1).any(2)
    assert (sample.weights[outside] == 0).all()
    assert (sample.weights[~outside] == 1).all()


def test_weak_has_no_shift_and_fewer_holes() -> None:
    canvases = _person(0, count=400)
    weak = _sample(canvases, 1, PoseAugmentation(**{**vars(WEAK), "half_body": 0.0}))
    middle = np.array(canvas_size(SIZE)) / 2
    moved = np.einsum("nij,j->ni", weak.matrices[..., :2], middle) + weak.matrices[..., 2]
    # A mirror image has its middle half a px to the left.
    assert np.abs(moved - np.array(SIZE) / 2).max() <= 1.01
    holes = (weak.holes[:, 2] > 0).mean()
    assert 0.4 < holes < 0.6
    assert (_sample(canvases, 1, STRONG).holes[:, 2] > 0).all()


def test_no_augmentation_is_the_middle_of_the_canvas() -> None:
    canvases = _person(0)
    sample = _sample(canvases, 0, NONE)
    corner = (np.array(canvas_size(SIZE)) - SIZE) / 2
    assert np.abs(sample.keypoints - (canvases.keypoints - corner)).max() < 1e-3
    assert sample.colors == pytest.approx(np.tile(np.eye(3), (4, 1, 1)), abs=1e-5)
    assert (sample.holes == 0).all()


def test_half_body_shows_one_half_larger() -> None:
    """Upper keypoints above, lower ones below: the crop is around one of the two."""
    canvases = _person(0, count=64)
    lower = np.array([any(p in n for p in ("hip", "knee", "ankle")) for n in COCO.names])
    canvases.keypoints[..., 1] = np.where(lower, 120, 60) + np.arange(17) % 3
    sample = _sample(canvases, 0, PoseAugmentation(**{**vars(NONE), "half_body": 1.0}))
    upper_seen, lower_seen = sample.weights[:, ~lower].all(1), sample.weights[:, lower].all(1)
    assert (upper_seen | lower_seen).all()
    assert 10 < (upper_seen & ~lower_seen).sum() < 54
    assert (np.linalg.det(sample.matrices[..., :2]) > 1.2).all()


def test_colours_keep_grey_grey_and_white_balance_bounded() -> None:
    canvases = _person(0, count=200)
    colors = _sample(canvases, 5, STRONG).colors
    grey = colors @ np.ones(3)
    assert np.abs(grey - grey.mean(axis=1, keepdims=True)).max() < 1e-5
    assert (grey >= 0.69).all()
    assert (grey <= 1.31).all()
    assert colors.std(axis=0).min() > 0.01


def test_both_ways_of_warping_agree() -> None:
    """Within two grey levels, also where a crop ends at the edge of its canvas."""
    rng = np.random.default_rng(0)
    width, height = canvas_size(SIZE)
    noise = rng.integers(0, 255, (height, width, 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    images = np.stack([smooth.astype(np.uint8)] * 8 + [np.full_like(smooth, 255, np.uint8)] * 8)
    sample = sample_crops(
        rng,
        np.full((16, 17, 2), 70, np.float32),
        np.ones((16, 17), np.float32),
        (width, height),
        SIZE,
        COCO,
        STRONG,
    )
    by_opencv = warp_canvases(images, np.arange(16), sample.matrices, SIZE).astype(np.float32)
    by_torch = warp_on_device(torch.from_numpy(images), torch.from_numpy(sample.matrices), SIZE).numpy()
    assert 0.001 < (by_opencv[8:] == 0).mean() < 0.5  # outside of the canvas
    # OpenCV interpolates in steps of 1/32 px.
    assert np.percentile(np.abs(by_opencv - by_torch), 99.9) < 2


def test_network_input_is_the_normalised_rgb_picture() -> None:
    from rtmpose_sdk.exporters.new_card import new_card
    from rtmpose_sdk.normalize import Normalizer

    canvases = _person(0, count=2)
    images = np.random.default_rng(0).integers(0, 255, (2, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    sample = _sample(canvases, 0, NONE)
    card = new_card("rtmpose-t", SIZE, "coco17", input_kind="tensor")
    found = network_input(torch.from_numpy(images), sample).numpy()
    assert np.abs(found - Normalizer(card)(images)).max() < 1e-4


def test_flip_pairs_are_read_from_names() -> None:
    made = keypoint_set_named("toy", ["nose", "left_paw", "right_paw", "EarL", "EarR", "l_eye", "r_eye"])
    assert made.flip_indices == (0, 2, 1, 4, 3, 6, 5)
    assert made.oks_sigmas == ()
    assert keypoint_set_named("mine", COCO.names) is COCO
