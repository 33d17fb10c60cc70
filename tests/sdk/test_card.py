"""The card that travels inside an artifact."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtmpose_sdk.artifacts import artifact_card, card_beside, open_model, read_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.card_builder import Answers, build, look, questions, try_card
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.runtimes import TensorSpec
from rtmpose_sdk.zoo import find_model


def make_card(**changes: object) -> ModelCard:
    fields: dict[str, object] = {
        "name": "rtmpose-t",
        "task": "pose",
        "input_size": (192, 256),
        "decoder": "simcc",
        "color_order": "rgb",
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
        "input_layout": "nhwc",
        "input_dtype": "uint8",
        "keypoint_set": "coco17",
    }
    return ModelCard(**{**fields, **changes})


def test_json_and_back() -> None:
    card = make_card(accuracy={"AP": 0.25}, verification={"verified": True}, notes="größer")
    assert ModelCard.from_json(card.to_json(), "here") == card


def test_a_card_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_card().task = "detect"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "segment"}, "task 'segment' is not one of pose, detect"),
        ({"decoder": "boxes"}, "decoder 'boxes' does not belong to task 'pose'"),
        ({"color_order": "gbr"}, "color_order 'gbr'"),
        ({"input_dtype": "float32"}, "nhwc/float32"),
        ({"keypoint_set": ""}, "needs a keypoint_set"),
        ({"input_size": (0, 256)}, "input_size"),
        ({"std": (58.0, 57.0, 0.0)}, "std is .*positive"),
        ({"mean": (1.0, float("nan"), 1.0)}, "finite"),
        ({"simcc_beta": 0.0}, "simcc_beta is 0.0; expected a positive"),
        ({"letterbox": "square"}, "letterbox 'square' is not one of full, fitted"),
        ({"letterbox": "fitted"}, "letterbox 'fitted' is not for decoder 'simcc'"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CardError, match=message):
        make_card(**changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda raw: raw.update(version=99), "version 99"),
        (lambda raw: raw.pop("version"), "its model card has no version"),
        (lambda raw: raw.pop("mean"), r"lacks \['mean'\]"),
        (lambda raw: raw.update(colour="rgb"), r"unknown fields \['colour'\]"),
        (lambda raw: raw.update(input_size="192x256"), "input_size"),
        (lambda raw: raw.update(std=None), "std is None; expected three positive numbers"),
        (lambda raw: raw.update(decoder=["simcc"]), "decoder"),
        (lambda raw: raw.update(keypoint_set=17), "keypoint_set is 17; expected text"),
        (lambda raw: raw.update(input_size=[192.0, 256.0]), r"expected \(width, height\) in px"),
        (lambda raw: raw.update(input_size=192), r"expected \(width, height\) in px"),
        (lambda raw: raw.update(strides=[]), "strides is .*expected the strides"),
        (lambda raw: raw.update(strides=[0]), "expected the strides"),
        (lambda raw: raw.update(pad_value=300), "pad_value is 300; expected a grey level"),
        (lambda raw: raw.update(nms_iou_threshold=-1), "expected a number 0...1"),
        (lambda raw: raw.update(score_threshold="x"), "score_threshold is 'x'; expected a number"),
        (lambda raw: raw.update(max_detections="x"), "expected a whole number, at least 1"),
        (lambda raw: raw.update(bbox_padding=1e30), "bbox_padding is 1e.30; expected a positive number"),
        (lambda raw: raw.update(verification=None), "verification is None; expected an object"),
        (lambda raw: raw.update(precision="fp8"), "precision is 'fp8'; expected fp32, fp16, int8"),
        (lambda raw: raw.update(heatmap_udp="no"), "heatmap_udp is 'no'; expected true or false"),
        (lambda raw: raw.update(bbox_padding=float("nan")), "not JSON .*NaN is no number"),
        (lambda raw: raw.update(accuracy={"AP": float("inf")}), "not JSON .*Infinity is no number"),
    ],
)
def test_damaged_cards_name_file_and_field(edit: object, message: str) -> None:
    raw = json.loads(make_card().to_json())
    edit(raw)
    with pytest.raises(CardError, match=rf"model\.onnx.*{message}|{message}"):
        ModelCard.from_json(json.dumps(raw), "model.onnx")
    for text in ("{", "[1]"):
        with pytest.raises(CardError, match=r"model\.onnx"):
            ModelCard.from_json(text, "model.onnx")


def test_the_card_inside_counts_wherever_a_card_is_read(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(find_model("rtmpose-t-own"), model)
    inside = artifact_card(model)
    card_beside(model).write_text(dataclasses.replace(inside, name="another").to_json())
    assert artifact_card(model) == inside
    with open_model(model, "pose").runtime as runtime:
        assert read_card(runtime) == inside


CELLS = [(x, y, s) for s in (8, 16, 32) for y in range(64 // s) for x in range(64 // s)]
"""Of YOLOX's head, at 64x64."""


def _detector(head: np.ndarray) -> Any:
    """A network for 64x64 px with one output, always the same."""
    return SimpleNamespace(
        path=Path("net.onnx"),
        inputs=(TensorSpec("input", "float32", (1, 3, 64, 64)),),
        outputs=(TensorSpec("output", "float32", head.shape),),
        smallest_batch=1,
        run=lambda array: (head,),
    )


@pytest.mark.parametrize(
    ("shape", "decoder"),
    [((1, 84, 6), "yolox"), ((1, 84, 85), "yolox"), ((1, 6, 84), None), ((1, 300, 6), None)],
)
def test_only_a_head_of_yoloxs_cells_is_taken_for_one(shape: tuple[int, ...], decoder: str | None) -> None:
    found = look(_detector(np.zeros(shape, np.float32)), Answers(color="bgr", normalize="none"))
    assert found.decoder == decoder
    assert [question.option for question in questions(found)] == ["--decoder"] * (decoder is None)


def test_boxes_that_are_decoded_already_are_no_head_of_yolox() -> None:
    """One person of 32x40 px in the middle."""
    answers = Answers("yolox", (64, 64), color="bgr", normalize="none")
    raw = np.zeros((1, 84, 6), np.float32)
    x, y, s = CELLS[27]
    raw[0, 27] = (32 / s - x, 32 / s - y, np.log(32 / s), np.log(40 / s), 0.9, 1)
    assert try_card(_detector(raw), build(answers, "net")).found == 1
    decoded = np.array([[((x + 0.5) * s, (y + 0.5) * s, 3 * s, 4 * s, 0.01, 1) for x, y, s in CELLS]])
    decoded[0, 27] = (32, 32, 32, 40, 0.9, 1)
    with pytest.raises(CardError, match=r"net\.onnx: its boxes are decoded already, in px.*--decoder"):
        try_card(_detector(decoded.astype(np.float32)), build(answers, "net"))
