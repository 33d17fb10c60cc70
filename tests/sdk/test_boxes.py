"""Overlaps by hand, and which boxes stay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtmpose_sdk.boxes import clip_boxes, iou, overlap_of_smaller, suppress


@given(arrays(np.float32, (12, 4), elements=st.floats(0, 100, width=32)), st.randoms())
def test_suppressed_boxes_overlap_a_better_one(raw: np.ndarray, random: object) -> None:
    boxes = np.concatenate([raw[:, :2], raw[:, :2] + raw[:, 2:] + 1], axis=1).astype(np.float32)
    scores = np.array([random.random() * 0.9 + 0.1 for _ in boxes], np.float32)

    overlaps = iou(boxes, boxes)
    kept = suppress(boxes, scores, 0.6).tolist()
    assert kept == sorted(kept, key=lambda i: -scores[i])
    for i in range(len(boxes)):
        better = [overlaps[i, j] for j in kept if j != i and scores[j] >= scores[i]]
        if i in kept:
            assert all(v <= 0.6 + 1e-5 for v in better)
        else:
            assert any(v > 0.6 - 1e-5 for v in better)


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(iou(a, b), [[1, 50 / 150, 0], [0, 0, 0]])
    assert iou(a[:0], b).shape == (0, 3)


def test_overlap_of_the_smaller_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    b = np.array([[2, 2, 4, 4], [5, 0, 25, 10]], np.float32)
    np.testing.assert_allclose(overlap_of_smaller(a, b), [[1, 0.5], [0, 0]])


def test_boxes_end_at_the_pictures_edges() -> None:
    boxes = np.array([[-5, 2, 30, 9], [3, -1, 8, 99]], np.float32)
    found = clip_boxes(boxes, (20, 10))
    assert found.tolist() == [[0, 2, 20, 9], [3, 0, 8, 10]]
    assert found.dtype == np.float32
    assert boxes[0, 0] == -5
