"""Exports run on the real engine and compared with PyTorch; broken ones must be noticed."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from rtmpose_sdk import Detector, Predictor, read_image
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_boxes import decode_boxes
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.graph import DecodedBoxes
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import build_onnx, save_onnx
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.verify import torch_reference, verify
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.models import build_model
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import open_runtime


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)


def _crops(card: ModelCard) -> np.ndarray:
    return verification_images(card, None, None, 16)


def _lively(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights that keep a signal's size, so that the output does depend on the picture."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.4 / parameter[0].numel() ** 0.5)
    return network.eval()


def _detect_network(name: str = "rtmdet-nano") -> torch.nn.Module:
    network = _lively(build_model(name, input_size=(320, 320)))
    for layer in network.bbox_head.rtm_reg:
        torch.nn.init.constant_(layer.bias, 3.0)  # distances of about three strides: solid boxes
    return network


@pytest.fixture(scope="module")
def own(own_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped checkpoint, exported either way on 100 real crops."""
    return tmp_path_factory.mktemp("own")


@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_own_checkpoint_on_100_real_crops(own_checkpoint: Path, own: Path, coco: dict, kind: str) -> None:
    network, keypoint_set = open_network(own_checkpoint)
    card = new_card(network.name, network.input_size, keypoint_set, input_kind=kind)
    crops = verification_images(card, coco["folder"], coco["file"], 100)
    assert crops.shape == (100, 256, 192, 3)
    found = export(Subject(card, network), own / f"{kind}.onnx", crops)
    assert found.verified
    assert max(found.largest_difference.values()) <= 1e-4
    assert found.worst_shift <= 0.5
    assert found.ties < 20
    predictor = Predictor(own / f"{kind}.onnx", threads=1)
    assert predictor.card.verification["verified"] is True
    assert predictor.card.verification["crops"] == 100
    assert predictor.card.takes_image == (kind == "image")


def test_both_inputs_give_the_same_keypoints(
    own_checkpoint: Path, coco_persons: list, tmp_path: Path
) -> None:
    network, keypoint_set = open_network(own_checkpoint)
    results = []
    picture, boxes = read_image(coco_persons[3][0]), coco_persons[3][1]
    for kind in ("image", "tensor"):
        card = new_card(network.name, network.input_size, keypoint_set, input_kind=kind)
        save_onnx(build_onnx(network, card), card, tmp_path / f"{kind}.onnx")
        results.append(Predictor(tmp_path / f"{kind}.onnx", threads=1)(picture, boxes))
    np.testing.assert_allclose(results[0].keypoint_scores, results[1].keypoint_scores, atol=1e-4)
    assert (np.abs(results[0].keypoints - results[1].keypoints) < 1e-3).mean() > 0.97


def test_the_graph_is_plain_dynamic_and_carries_its_card(tmp_path: Path) -> None:
    network = _lively(build_model("rtmpose-t", keypoint_set="halpe26"))
    card = new_card("rtmpose-t", (192, 256), "halpe26")
    found = export(Subject(card, network), tmp_path / "t.onnx", _crops(card))
    assert found.verified
    model = onnx.load(tmp_path / "t.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert model.producer_name == "rtmpose-sdk"
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"BatchNormalization", "Identity", "Constant", "Shape", "If", "Loop"}
    text = (tmp_path / "t.onnx").read_bytes()
    assert b"/site-packages" not in text
    assert b"pkg.torch" not in text
    assert str(tmp_path).encode() not in text
    session = onnxruntime.InferenceSession(tmp_path / "t.onnx")
    for batch in (1, 2, 5):
        x, y = session.run(None, {"image": np.zeros((batch, 256, 192, 3), np.uint8)})
        assert x.shape == (batch, 26, 384)
        assert y.shape == (batch, 26, 512)
    read = Predictor(tmp_path / "t.onnx").card
    assert dataclasses.replace(read, verification={}) == card


def test_half_storage_halves_the_file_and_keeps_the_arithmetic(tmp_path: Path) -> None:
    network = _lively(build_model("rtmpose-t", keypoint_set="coco17"))
    card = new_card("rtmpose-t", (192, 256), "coco17")
    assert export(Subject(card, network), tmp_path / "full.onnx", _crops(card)).verified
    assert export(
        Subject(card, network),
        tmp_path / "half.onnx",
        _crops(card),
        settings=ExportSettings(half_storage=True),
    ).verified
    sizes = [(tmp_path / f"{n}.onnx").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]
    model = onnx.load(tmp_path / "half.onnx")
    assert {o.type.tensor_type.elem_type for o in model.graph.output} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("kind", ["image", "tensor"])
@pytest.mark.parametrize("nms", [False, True])
def test_detector_exports(photo: np.ndarray, tmp_path: Path, kind: str, nms: bool) -> None:
    network = _detect_network()
    card = new_card("rtmdet-nano", (320, 320), input_kind=kind, nms=nms)
    found = export(Subject(card, network), tmp_path / "d.onnx", _crops(card))
    assert found.verified, found
    kinds = {n.op_type for n in onnx.load(tmp_path / "d.onnx").graph.node}
    assert ("NonMaxSuppression" in kinds) == nms
    detections = Detector(tmp_path / "d.onnx", threads=1)(photo)
    assert len(detections) > 0


def test_nms_in_the_graph_serves_batches(tmp_path: Path) -> None:
    card = new_card("rtmdet-nano", (320, 320), nms=True)
    save_onnx(build_onnx(_detect_network(), card), card, tmp_path / "d.onnx")
    crops = _crops(card)[:3]
    with open_runtime(tmp_path / "d.onnx", threads=1) as runtime:
        boxes, scores, index = runtime.run(crops)
        assert set(index.tolist()) == {0, 1, 2}
        for i in range(3):
            alone = runtime.run(crops[i : i + 1])
            np.testing.assert_allclose(boxes[index == i], alone[0], atol=1e-2)
            np.testing.assert_allclose(scores[index == i], alone[1], atol=1e-4)


def test_boxes_are_decoded_by_hand_written_numbers() -> None:
    """One cell per level speaks; its box stands at (column, row) * stride, with no offset."""

    class Heads(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            sizes = (8, 4, 2)
            logits = [torch.full((1, 1, n, n), -9.0) for n in sizes]
            distances = [torch.ones(1, 4, n, n) for n in sizes]
            logits[0][0, 0, 2, 5] = 2.0  # row 2, column 5
            distances[0][0, :, 2, 5] = torch.tensor([3.0, 4.0, 5.0, 6.0])
            logits[2][0, 0, 1, 0] = 0.0
            distances[2][0, :, 1, 0] = torch.tensor([-1.0, 10.0, 30.0, 20.0])
            return (*logits, *distances)

    card = new_card("rtmdet-nano", (64, 64), input_kind="tensor")
    boxes, scores = (v.numpy() for v in DecodedBoxes(Heads(), card)(torch.zeros(1, 3, 64, 64)))
    assert boxes.shape == (1, 64 + 16 + 4, 4)
    found, found_scores = decode_boxes({"boxes": boxes, "scores": scores}, card, 0.3)
    np.testing.assert_allclose(found, [[37, 12, 45, 22], [1, 22, 30, 52]])
    np.testing.assert_allclose(found_scores, [1 / (1 + np.exp(-2)), 0.5], rtol=1e-6)


def test_decoded_raw_heads_of_a_trained_detector_find_people(
    detector_folder: Path, coco_persons: list
) -> None:
    raw = onnxruntime.InferenceSession(detector_folder / "raw_heads.onnx")
    normalize = Normalizer(Detector(detector_folder, threads=1).card)

    class Heads(torch.nn.Module):
        """Three maps (1,H,W,1+4): a logit and four distances in px."""

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            maps = [torch.from_numpy(m).permute(0, 3, 1, 2) for m in raw.run(None, {"images": x.numpy()})]
            return (*(m[:, :1] for m in maps), *(m[:, 1:] for m in maps))

    card = new_card("rtmdet-nano", (320, 320), input_kind="tensor")
    decode = DecodedBoxes(Heads(), card)
    found = total = 0
    for path, truth in coco_persons[:40]:
        canvas, factors = letterbox(read_image(path), (320, 320), 114)
        boxes, scores = decode(torch.from_numpy(normalize(canvas[None])))
        kept, _ = decode_boxes({"boxes": boxes.numpy(), "scores": scores.numpy()}, card, 0.3)
        kept = kept * factors
        large = (truth[:, 2:] - truth[:, :2]).prod(axis=1) >= 96**2
        total += large.sum()
        found += (iou(truth[large], kept) > 0.5).any(axis=1).sum()
    assert total > 30
    assert found / total > 0.8


def test_a_wrong_nms_graph_is_noticed(tmp_path: Path) -> None:
    network, card = _detect_network(), new_card("rtmdet-nano", (320, 320), nms=True)
    card = dataclasses.replace(card, max_detections=1000)
    save_onnx(build_onnx(network, card), card, tmp_path / "d.onnx")
    faults = {
        "shifted": lambda boxes, scores, index: (boxes + np.float32(0.6), scores, index),
        "missing": lambda boxes, scores, index: (boxes[1:], scores[1:], index[1:]),
        "wrong score": lambda boxes, scores, index: (boxes, scores + np.float32(0.001), index),
    }
    reference, crops = torch_reference(network, card), _crops(card)[:2]
    with open_runtime(tmp_path / "d.onnx", threads=1) as runtime:
        assert verify(reference, runtime, card, crops).verified
        run = runtime.run
        for name, fault in faults.items():
            runtime.run = lambda array, fault=fault: fault(*run(array))
            assert not verify(reference, runtime, card, crops).verified, name


def _spoil(model: onnx.ModelProto, name_part: str, change: object) -> None:
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.shape == name_part:
            tensor.CopyFrom(numpy_helper.from_array(change(values), tensor.name))
            return
    raise AssertionError(f"no tensor of shape {name_part}")


@pytest.fixture(scope="module")
def exported() -> tuple[torch.nn.Module, ModelCard, onnx.ModelProto]:
    torch.manual_seed(0)
    network = _lively(build_model("rtmpose-t", keypoint_set="coco17"))
    card = new_card("rtmpose-t", (192, 256), "coco17")
    return network, card, build_onnx(network, card)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w * np.float32(1.01),
        lambda w: np.where(w == w.max(), np.float32("nan"), w),
        lambda w: w[:, ::-1].copy(),
    ],
)
def test_a_wrong_artifact_is_noticed(
    exported: tuple[torch.nn.Module, ModelCard, onnx.ModelProto], tmp_path: Path, change: object
) -> None:
    network, card, model = copy.deepcopy(exported)
    _spoil(model, (256, 384), change)  # cls_x
    save_onnx(model, card, tmp_path / "bad.onnx")
    with open_runtime(tmp_path / "bad.onnx", threads=1) as runtime:
        found = verify(torch_reference(network, card), runtime, card, _crops(card))
    assert not found.verified
    save_onnx(model, dataclasses.replace(card, verification=found.as_dict()), tmp_path / "bad.onnx")
    with pytest.warns(UserWarning, match="did not pass the check"):
        Predictor(tmp_path / "bad.onnx", threads=1)


def test_swapped_colours_are_noticed(tmp_path: Path) -> None:
    network = _lively(build_model("rtmpose-t", keypoint_set="coco17"))
    card = new_card("rtmpose-t", (192, 256), "coco17")
    wrong = dataclasses.replace(card, color_order="bgr")
    save_onnx(build_onnx(network, wrong), wrong, tmp_path / "bgr.onnx")
    with open_runtime(tmp_path / "bgr.onnx", threads=1) as runtime:
        assert not verify(torch_reference(network, card), runtime, card, _crops(card)).verified


@pytest.mark.parametrize("name", ["rtmw-m", "rtmdet-s"])
def test_the_other_families_export(tmp_path: Path, name: str) -> None:
    if name.startswith("rtmdet"):
        network = _lively(build_model(name, input_size=(128, 128)))
        card = new_card(name, (128, 128))
    else:
        network = _lively(build_model(name, keypoint_set="coco_wholebody133"))
        card = new_card(name, (192, 256), "coco_wholebody133")
        assert card.simcc_beta == 1.0
    assert export(Subject(card, network), tmp_path / "n.onnx", _crops(card)[:4]).verified
