"""A detector's outputs → boxes and scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_boxes import decode_boxes
from rtmpose_sdk.errors import EngineError


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


def test_what_a_graphs_nms_kept_stays(card: ModelCard) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 11]], np.float32)
    scores = np.array([0.6, 0.9], np.float32)
    card = dataclasses.replace(card, decoder="boxes_nms")
    found, kept = decode_boxes({"boxes": boxes, "scores": scores}, card, 0.3)
    np.testing.assert_array_equal(found, boxes[::-1])
    np.testing.assert_array_equal(kept, scores[::-1])


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
