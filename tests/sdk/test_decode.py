"""Raw outputs → keypoints, scores, confidences, boxes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode import decode_boxes, decode_simcc, iou, suppress
from rtmpose_sdk.errors import EngineError

values = st.floats(-3, 3, width=32)


@given(arrays(np.float32, (2, 3, 32), elements=values), arrays(np.float32, (2, 3, 48), elements=values))
def test_simcc_against_the_rule_written_out(x: np.ndarray, y: np.ndarray) -> None:
    found = decode_simcc(x, y, 2.0, 10.0)
    for n in range(2):
        for k in range(3):
            masses = []
            for axis, simcc in enumerate((x[n, k], y[n, k])):
                peak = int(np.argmax(simcc))
                assert found.keypoints[n, k, axis] == peak / 2
                odds = [math.exp(10.0 * (float(v) - float(simcc.max()))) for v in simcc]
                reach = math.ceil(2 * math.sqrt(len(simcc)) / 4)
                masses.append(sum(odds[max(peak - reach, 0) : peak + reach + 1]) / sum(odds))
            assert found.scores[n, k] == min(x[n, k].max(), y[n, k].max())
            assert found.confidences[n, k] == pytest.approx(min(masses), rel=1e-4)
    assert ((found.confidences >= 0) & (found.confidences <= 1)).all()


def test_a_trained_peak_is_confident_and_a_flat_output_is_not() -> None:
    bins = np.arange(384, dtype=np.float32)
    peak = np.exp(-((bins - 3) ** 2) / (2 * 4.9**2))[None, None]  # at the edge of the crop
    flat = np.zeros((1, 1, 384), np.float32)
    assert decode_simcc(peak, peak, 2.0, 10.0).confidences[0, 0] > 0.95
    assert decode_simcc(peak, flat, 2.0, 10.0).confidences[0, 0] < 0.06


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_numbers_raise(bad: float) -> None:
    x = np.zeros((1, 17, 384), np.float32)
    broken = x.copy()
    broken[0, 4, 7] = bad
    with pytest.raises(EngineError, match="NaN or infinity"):
        decode_simcc(x, broken, 2.0, 10.0)


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="rtmdet-nano",
        task="detect",
        input_size=(320, 320),
        decoder="boxes",
        color_order="bgr",
        mean=(1, 2, 3),
        std=(1, 1, 1),
        input_layout="nchw",
        input_dtype="float32",
        max_detections=2,
    )


def test_boxes_are_thresholded_suppressed_and_ordered(card: ModelCard) -> None:
    boxes = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60], [80, 0, 90, 9], [30, 0, 40, 10]],
        np.float32,
    )
    scores = np.array([0.6, 0.9, 0.7, 0.2, 0.31], np.float32)
    found, kept = decode_boxes({"boxes": boxes[None], "scores": scores[None]}, card, 0.3)
    np.testing.assert_array_equal(found, boxes[[1, 2]])
    np.testing.assert_array_equal(kept, scores[[1, 2]])
    none, _ = decode_boxes({"boxes": boxes[None], "scores": scores[None]}, card, 0.95)
    assert none.shape == (0, 4)


def test_mmdeploys_dets_keep_persons_only(card: ModelCard) -> None:
    dets = np.array([[[0, 0, 9, 9, 0.8], [0, 0, 5, 5, 0.9]]], np.float32)
    labels = np.array([[0, 2]], np.int64)
    card = dataclasses.replace(card, decoder="mmdeploy_dets")
    boxes, scores = decode_boxes({"dets": dets, "labels": labels}, card, 0.3)
    np.testing.assert_array_equal(boxes, dets[0, :1, :4])
    assert scores.tolist() == pytest.approx([0.8])
    dets[0, 1, 0] = np.nan
    with pytest.raises(EngineError):
        decode_boxes({"dets": dets, "labels": labels * 0}, card, 0.3)


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
