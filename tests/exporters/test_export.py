"""Exports run on the real engine and compared with PyTorch; broken ones must be noticed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from rtmpose_sdk import Detector, Predictor, read_image
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_boxes import decode_boxes
from rtmpose_sdk.exporters import onnx as onnx_files
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.graph import BoxDecode
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import save_onnx
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.trace import traced
from rtmpose_sdk.exporters.verify import Verification, torch_reference, verify
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.models import build_model
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import open_runtime

Once = Callable[[str, Callable[[Path], object]], Path]
POSE_CARD = new_card("rtmpose-t", (192, 256), "halpe26")


def _crops(card: ModelCard) -> np.ndarray:
    return verification_images(card, None, None, 16)


def _network(name: str, **options: object) -> torch.nn.Module:
    """Random weights that keep a signal's size, so that the output does depend on the picture."""
    torch.manual_seed(0)
    network = build_model(name, **options)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.4 / parameter[0].numel() ** 0.5)
    return network.eval()


def _detect_network() -> torch.nn.Module:
    network = _network("rtmdet-nano", input_size=(320, 320))
    for layer in network.bbox_head.rtm_reg:
        torch.nn.init.constant_(layer.bias, 3.0)  # distances of about three strides: solid boxes
    return network


def _pose_network() -> torch.nn.Module:
    return _network("rtmpose-t", keypoint_set="halpe26")


def _detect_card(kind: str, name: str) -> ModelCard:
    card = new_card("rtmdet-nano", (320, 320), input_kind=kind, nms=name != "boxes")
    return dataclasses.replace(card, max_detections=1000) if name == "all" else card


@pytest.fixture(scope="session")
def pose(once: Once) -> Path:
    """full.onnx and half.onnx, of one network."""

    def make(folder: Path) -> None:
        subject = Subject(POSE_CARD, _pose_network())
        for name in ("full", "half"):
            settings = ExportSettings(half_storage=name == "half")
            export(subject, folder / f"{name}.onnx", _crops(POSE_CARD), settings=settings)

    return once("export-pose", make)


@pytest.fixture(scope="session")
def detector(once: Once) -> Callable[[str], Path]:
    """Of an input kind: nms.onnx, all.onnx (NMS that keeps 1000) and boxes.onnx (without NMS)."""

    def make(folder: Path, kind: str) -> None:
        network, of_first = _detect_network(), []

        def traced_once(network: torch.nn.Module, card: ModelCard) -> onnx.ModelProto:
            """What NMS is put behind is the same for each."""
            if not of_first:
                of_first.append(traced(network, card))
            return copy.deepcopy(of_first[0])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_files, "traced", traced_once)
            for name in ("nms", "all", "boxes") if kind == "image" else ("nms", "boxes"):
                card = _detect_card(kind, name)
                crops = _crops(card) if name != "all" else None
                export(Subject(card, network), folder / f"{name}.onnx", crops)

    return lambda kind: once(f"export-detector-{kind}", lambda folder: make(folder, kind))


@pytest.fixture(scope="session")
def own(once: Once, own_checkpoint: Path, coco: dict) -> Callable[[str], Path]:
    """The shipped checkpoint's artifact of an input kind, verified on 100 real crops."""

    def make(file: Path, kind: str) -> None:
        network, keypoint_set = open_network(own_checkpoint)
        card = new_card(network.name, network.input_size, keypoint_set, input_kind=kind)
        crops = verification_images(card, coco["folder"], coco["file"], 100)
        assert crops.shape == (100, 256, 192, 3)
        export(Subject(card, network), file, crops)

    return lambda kind: once(f"export-own-{kind}", lambda folder: make(folder / "t.onnx", kind)) / "t.onnx"


@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_own_checkpoint_on_100_real_crops(own: Callable[[str], Path], kind: str) -> None:
    predictor = Predictor(own(kind), threads=1)
    found = predictor.card.verification
    assert found["verified"] is True
    assert max(found["largest_difference"].values()) <= 1e-4
    assert found["worst_shift"] <= 0.5
    assert found["ties"] < 20
    assert found["crops"] == 100
    assert predictor.card.takes_image == (kind == "image")


def test_both_inputs_give_the_same_keypoints(own: Callable[[str], Path], coco_persons: list) -> None:
    picture, boxes = read_image(coco_persons[3][0]), coco_persons[3][1]
    results = [Predictor(own(kind), threads=1)(picture, boxes) for kind in ("image", "tensor")]
    np.testing.assert_allclose(results[0].keypoint_scores, results[1].keypoint_scores, atol=1e-4)
    assert (np.abs(results[0].keypoints - results[1].keypoints) < 1e-3).mean() > 0.97


def test_the_graph_is_plain_dynamic_and_carries_its_card(pose: Path) -> None:
    model = onnx.load(pose / "full.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert model.producer_name == "rtmpose-sdk"
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"BatchNormalization", "Identity", "Constant", "Shape", "If", "Loop"}
    text = (pose / "full.onnx").read_bytes()
    assert b"/site-packages" not in text
    assert b"pkg.torch" not in text
    assert str(pose).encode() not in text
    session = onnxruntime.InferenceSession(pose / "full.onnx")
    for batch in (1, 2, 5):
        x, y = session.run(None, {"image": np.zeros((batch, 256, 192, 3), np.uint8)})
        assert x.shape == (batch, 26, 384)
        assert y.shape == (batch, 26, 512)
    read = Predictor(pose / "full.onnx").card
    assert read.verification["verified"] is True
    assert dataclasses.replace(read, verification={}) == POSE_CARD


def test_half_storage_halves_the_file_and_keeps_the_arithmetic(pose: Path) -> None:
    for name in ("full", "half"):
        assert artifact_card(pose / f"{name}.onnx").verification["verified"] is True
    sizes = [(pose / f"{n}.onnx").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]
    model = onnx.load(pose / "half.onnx")
    assert {o.type.tensor_type.elem_type for o in model.graph.output} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("kind", ["image", "tensor"])
@pytest.mark.parametrize("name", ["boxes", "nms"])
def test_detector_exports(photo: np.ndarray, detector: Callable[[str], Path], kind: str, name: str) -> None:
    file = detector(kind) / f"{name}.onnx"
    card = artifact_card(file)
    assert card.verification["verified"] is True, card.verification
    assert dataclasses.replace(card, verification={}) == _detect_card(kind, name)
    kinds = {n.op_type for n in onnx.load(file).graph.node}
    assert ("NonMaxSuppression" in kinds) == (name == "nms")
    assert len(Detector(file, threads=1)(photo)) > 0


def test_nms_in_the_graph_serves_batches(detector: Callable[[str], Path]) -> None:
    crops = _crops(_detect_card("image", "nms"))[:3]
    with open_runtime(detector("image") / "nms.onnx", threads=1) as runtime:
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
    boxes, scores = (v.numpy() for v in BoxDecode(card)(Heads()(torch.zeros(1, 3, 64, 64))))
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
    heads, decode = Heads(), BoxDecode(card)
    found = total = 0
    for path, truth in coco_persons[:40]:
        canvas, factors = letterbox(read_image(path), (320, 320), 114)
        boxes, scores = decode(heads(torch.from_numpy(normalize(canvas[None]))))
        kept, _ = decode_boxes({"boxes": boxes.numpy(), "scores": scores.numpy()}, card, 0.3)
        kept = kept * factors
        large = (truth[:, 2:] - truth[:, :2]).prod(axis=1) >= 96**2
        total += large.sum()
        found += (iou(truth[large], kept) > 0.5).any(axis=1).sum()
    assert total > 30
    assert found / total > 0.8


def test_a_wrong_nms_graph_is_noticed(detector: Callable[[str], Path]) -> None:
    card = _detect_card("image", "all")
    faults = {
        "shifted": lambda boxes, scores, index: (boxes + np.float32(0.6), scores, index),
        "missing": lambda boxes, scores, index: (boxes[1:], scores[1:], index[1:]),
        "wrong score": lambda boxes, scores, index: (boxes, scores + np.float32(0.001), index),
    }
    crops = _crops(card)[:2]
    expected = torch_reference(_detect_network(), card)(crops)
    with open_runtime(detector("image") / "all.onnx", threads=1) as runtime:
        assert verify(lambda _: expected, runtime, card, crops).verified
        run = runtime.run
        for name, fault in faults.items():
            runtime.run = lambda array, fault=fault: fault(*run(array))
            assert not verify(lambda _: expected, runtime, card, crops).verified, name


def _spoil(model: onnx.ModelProto, name_part: str, change: object) -> None:
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.shape == name_part:
            tensor.CopyFrom(numpy_helper.from_array(change(values), tensor.name))
            return
    raise AssertionError(f"no tensor of shape {name_part}")


def _verified(file: Path) -> Verification:
    with open_runtime(file, threads=1) as runtime:
        return verify(torch_reference(_pose_network(), POSE_CARD), runtime, POSE_CARD, _crops(POSE_CARD))


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w * np.float32(1.01),
        lambda w: np.where(w == w.max(), np.float32("nan"), w),
        lambda w: w[:, ::-1].copy(),
    ],
)
def test_a_wrong_artifact_is_noticed(pose: Path, tmp_path: Path, change: object) -> None:
    model = onnx.load(pose / "full.onnx")
    _spoil(model, (256, 384), change)  # cls_x
    save_onnx(model, POSE_CARD, tmp_path / "bad.onnx")
    found = _verified(tmp_path / "bad.onnx")
    assert not found.verified
    save_onnx(model, dataclasses.replace(POSE_CARD, verification=found.as_dict()), tmp_path / "bad.onnx")
    with pytest.warns(UserWarning, match="did not pass the check"):
        Predictor(tmp_path / "bad.onnx", threads=1)


def test_swapped_colours_are_noticed(pose: Path, tmp_path: Path) -> None:
    model, swapped = onnx.load(pose / "full.onnx"), []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 4 and values.shape[1] == 3:  # mean, scale, and the first convolution
            tensor.CopyFrom(numpy_helper.from_array(values[:, ::-1].copy(), tensor.name))
            swapped.append(values.shape)
    assert sorted(swapped) == [(1, 3, 1, 1), (1, 3, 1, 1), (12, 3, 3, 3)]
    save_onnx(model, POSE_CARD, tmp_path / "bgr.onnx")
    assert not _verified(tmp_path / "bgr.onnx").verified


@pytest.mark.parametrize("name", ["rtmw-m", "rtmdet-s"])
def test_the_other_families_export(tmp_path: Path, name: str) -> None:
    if name.startswith("rtmdet"):
        network = _network(name, input_size=(128, 128))
        card = new_card(name, (128, 128))
    else:
        network = _network(name, keypoint_set="coco_wholebody133")
        card = new_card(name, (192, 256), "coco_wholebody133")
        assert card.simcc_beta == 1.0
    assert export(Subject(card, network), tmp_path / "n.onnx", _crops(card)[:4]).verified
