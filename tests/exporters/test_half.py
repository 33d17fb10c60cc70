"""The mixed-precision graph: fp32 where it is meant, keypoints that stay, and what a plain cast does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from rtmpose_sdk.card import CARD_KEY, ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters import half_drift
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.half_emulation import emulate_half
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import build_onnx
from rtmpose_sdk.models.rtmw_head import RTMWHead
from rtmpose_sdk.zoo import find_model

from .conftest import keypoint_drift, run_graph

PLAIN: frozenset[str] = frozenset()
"""`float_nodes` of a plain cast: nothing stays fp32."""


@pytest.fixture(scope="module")
def pose() -> onnx.ModelProto:
    """The trained RTMPose-t of the package."""
    return onnx.load(str(find_model("rtmpose-t-own")))


@pytest.fixture(scope="module")
def detector() -> onnx.ModelProto:
    """The trained RTMDet-nano of the package."""
    return onnx.load(str(find_model("rtmdet-nano-own")))


def _card(model: onnx.ModelProto) -> ModelCard:
    entries = {entry.key: entry.value for entry in model.metadata_props}
    return ModelCard.from_json(entries[CARD_KEY], "test")


@pytest.fixture(scope="module")
def crops(pose: onnx.ModelProto, coco: dict) -> np.ndarray:
    return verification_images(_card(pose), coco["folder"], coco["file"], 64)


def _emulated(
    model: onnx.ModelProto, images: np.ndarray, names: Collection[str] | None
) -> list[np.ndarray]:
    return run_graph(emulate_half(half_graph(model, names)), images)


def _kinds(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Nodes by the type of their result, Casts left out."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    found: dict[str, list[onnx.NodeProto]] = {"half": [], "float": []}
    for node in model.graph.node:
        kind = {TensorProto.FLOAT16: "half", TensorProto.FLOAT: "float"}.get(types[node.output[0]])
        if kind is not None and node.op_type != "Cast":
            found[kind].append(node)
    return found


UNIT = ["Abs", "ReduceMax", "Clip", "Div"]
PRODUCT = ["Transpose", "Conv", "Transpose"]


def test_fp32_is_exactly_where_it_is_meant(pose: onnx.ModelProto) -> None:
    model = half_graph(pose)
    onnx.checker.check_model(model, full_check=True)
    kinds = _kinds(model)
    assert (
        [node.op_type for node in kinds["float"]]
        == [
            *["Sub", "Mul"],  # the picture
            *["ReduceL2", "Mul", "Clip", "Div", "Mul"],  # ScaleNorm, times its g
            *PRODUCT,  # mlp
            *["ReduceL2", "Mul", "Mul", "Clip", "Div", "Mul"],  # the same; the shortcut's scale
            *PRODUCT,  # uv
            *["Sigmoid", "Mul", "Split", "Mul", "Mul", "Add", "Add", "Transpose"],  # SiLU, query and key
            *[*UNIT, *UNIT, "Mul", "Mul"],  # query times key
            *["Div", "Relu", "Pow"],  # the squared ReLU
            *[*UNIT, *UNIT, "Mul", "Mul"],  # attention times v
            *["Mul", *PRODUCT, "Add"],  # gate, o, shortcut
            *[*PRODUCT, *PRODUCT[1:]],  # the two classifiers
        ]
    )
    halves = [node.op_type for node in kinds["half"]]
    assert halves[-4:] == ["Conv", "Reshape", "MatMul", "MatMul"]  # last convolution, the two products
    network = Counter(node.op_type for node in pose.graph.node)
    assert Counter(halves) == {
        "Conv": network["Conv"],
        "Reshape": 1,
        "Sigmoid": network["Sigmoid"] - 1,
        "Mul": network["Sigmoid"] - 1 + network["HardSigmoid"],
        "HardSigmoid": network["HardSigmoid"],
        "ReduceMean": network["ReduceMean"],
        "MaxPool": network["MaxPool"],
        "Concat": network["Concat"],
        "Add": network["Add"] - 3,
        "MatMul": 2,
    }
    assert {v.type.tensor_type.elem_type for v in model.graph.output} == {TensorProto.FLOAT}
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    convolutions = [n for n in kinds["half"] if n.op_type == "Conv"]
    stored = {t.name: t.data_type for t in model.graph.initializer}
    assert all(stored[n] == TensorProto.FLOAT16 for node in convolutions for n in node.input[1:])


def test_fp32_in_a_detector_is_its_last_convolutions_and_the_decode(detector: onnx.ModelProto) -> None:
    kinds = _kinds(half_graph(detector))
    counts = Counter(node.op_type for node in kinds["float"])
    assert counts["Conv"] == 6  # logits and distances of three strides
    assert all(
        node.input[1].split(".")[-3] in ("rtm_cls", "rtm_reg")
        for node in kinds["float"][2:]
        if node.op_type == "Conv"
    )
    assert [node.op_type for node in kinds["float"]][:2] == ["Sub", "Mul"]
    assert counts["Sigmoid"] == counts["ReduceMax"] == 1  # the scores
    assert not {"ReduceMax", "Sub", "Transpose", "Slice", "Reshape"} & {n.op_type for n in kinds["half"]}
    total = Counter(node.op_type for node in detector.graph.node)
    assert sum(node.op_type == "Conv" for node in kinds["half"]) == total["Conv"] - 6


class _SmallRtmw(nn.Module):
    """RTMW's head, and a neck's upsampling, behind a handful of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 16, 16)
        self.down = nn.Conv2d(32, 64, 3, 2, 1)
        self.up = nn.Conv2d(64, 32, 1)
        self.head = RTMWHead(64, 133, (192, 256), 2.0)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        p4 = nn.functional.silu(self.stem(x))
        p5 = nn.functional.silu(self.down(p4))
        p4 = p4 + nn.functional.interpolate(self.up(p5), scale_factor=2.0, mode="nearest")
        return self.head((p4, p4, p5))


def test_rtmw() -> None:
    """A ScaleNorm more, PixelShuffle, and Resize, whose scales must stay fp32."""
    torch.manual_seed(0)
    network = _SmallRtmw()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.4 / parameter[0].numel() ** 0.5)
    card = new_card("rtmw-m", (192, 256), "coco_wholebody133")
    model = build_onnx(network, card)
    kinds = _kinds(half_graph(model))
    counts = {kind: Counter(node.op_type for node in nodes) for kind, nodes in kinds.items()}
    assert counts["float"]["ReduceL2"] == 3
    assert counts["float"]["Conv"] == 6  # mlp, mlp2, uv, o, two classifiers
    assert counts["half"]["Resize"] == 1
    assert counts["half"]["DepthToSpace"] == 1
    assert counts["half"]["Conv"] == 6
    images = verification_images(card, None, None, 16)
    want, have = run_graph(model, images), _emulated(model, images, None)
    for a, b in zip(want, have, strict=True):
        assert np.abs(a - b).max() < 0.01 * np.abs(a).max()


def test_keypoints_stay_within_a_pixel(pose: onnx.ModelProto, crops: np.ndarray) -> None:
    want = run_graph(pose, crops)
    for have in (run_graph(half_graph(pose), crops), _emulated(pose, crops, None)):
        assert all(np.isfinite(values).all() for values in have)
        assert all(values.dtype == np.float32 for values in have)
        drift = keypoint_drift(want, have)
        assert np.median(drift) == 0
        assert np.percentile(drift, 99) <= 1.0
        assert (drift > 1).mean() < 0.005
        assert (drift > 0).mean() < 0.1  # by half a px, a bin: peaks of wide labels are flat


def test_a_plain_cast_moves_keypoints(pose: onnx.ModelProto, crops: np.ndarray) -> None:
    """Why the classifiers are fp32: eleven bits make ties of neighbouring bins, and ties move."""
    drift = keypoint_drift(run_graph(pose, crops), _emulated(pose, crops, PLAIN))
    assert np.percentile(drift, 99) >= 1.0  # 1.5 with AVX-512, 1.0 with AVX2
    assert (drift > 0).mean() > 0.05


def test_the_table_of_drifts(
    pose: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], coco: dict
) -> None:
    card = new_card("rtmpose-t", (192, 256), "coco17")
    monkeypatch.setattr(half_drift, "open_checkpoint", lambda weights: (None, card))
    monkeypatch.setattr(half_drift, "build_onnx", lambda network, card: pose)
    half_drift.main(Path("w.pth"), coco["folder"], coco["file"], limit=6, device="cpu")
    printed = capsys.readouterr().out
    assert "6 crops" in printed
    assert len([line for line in printed.splitlines() if line.startswith("│")]) >= 4
    assert "torch on cpu" in printed
    assert "nan" not in printed


def _scaled(model: onnx.ModelProto, part: str, factor: float) -> onnx.ModelProto:
    """The same network with some weights larger."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    touched = 0
    for tensor in result.graph.initializer:
        if part in tensor.name:
            values = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), tensor.name))
            touched += 1
    assert touched, [t.name for t in result.graph.initializer]
    return result


def test_large_features_break_a_plain_cast(pose: onnx.ModelProto, photo: np.ndarray) -> None:
    """ScaleNorm takes any scale away, but its sum of squares passes 65504 on the way there."""
    images = verification_images(_card(pose), None, None, 8)[:8]
    model = _scaled(pose, "head.final_layer", 300.0)
    want = run_graph(model, images)
    plain = _emulated(model, images, PLAIN)
    assert all(np.isfinite(values).all() for values in plain)  # nobody is told
    assert (keypoint_drift(want, plain) > 5).mean() > 0.3
    assert (keypoint_drift(want, _emulated(model, images, None)) <= 1).mean() > 0.98
    # What hides it: the kernels of a CPU compute fp16 nodes in fp32.
    assert (keypoint_drift(want, run_graph(half_graph(model, PLAIN), images)) <= 2).mean() > 0.9


def test_large_attention_breaks_a_plain_cast(pose: onnx.ModelProto) -> None:
    """The squared ReLU overflows, and infinity times zero is NaN."""
    images = verification_images(_card(pose), None, None, 8)[:8]
    uv = next(n for n in _with_shape(pose, (256, 1152)))
    model = _scaled(pose, uv, 40.0)
    want = run_graph(model, images)
    assert not all(np.isfinite(values).all() for values in _emulated(model, images, PLAIN))
    have = _emulated(model, images, None)
    assert all(np.isfinite(values).all() for values in have)
    assert (keypoint_drift(want, have) <= 1).mean() > 0.98


def _with_shape(model: onnx.ModelProto, shape: tuple[int, ...]) -> list[str]:
    return [t.name for t in model.graph.initializer if tuple(t.dims) == shape]


def test_boxes_and_scores_stay(detector: onnx.ModelProto, coco: dict) -> None:
    images = verification_images(_card(detector), coco["folder"], None, 24)
    boxes, scores = run_graph(detector, images)
    for have_boxes, have_scores in (
        run_graph(half_graph(detector), images),
        _emulated(detector, images, None),
    ):
        assert np.abs(have_scores - scores).max() < 0.01
        sure = scores > 0.3
        assert sure.sum() > 20
        moved = np.abs(have_boxes - boxes)[sure].max(axis=-1)
        assert np.percentile(moved, 99) <= 1.0
        assert np.isfinite(have_boxes).all()


@settings(max_examples=60, deadline=None)
@given(
    exponents=st.tuples(st.integers(-12, 15), st.integers(-12, 15)),
    seed=st.integers(0, 1000),
    zeros=st.booleans(),
)
def test_no_product_overflows(exponents: tuple[int, int], seed: int, zeros: bool) -> None:
    """Factors of any size give their product, to fp16's bits of its largest possible value."""
    rng = np.random.default_rng(seed)
    left, right = (
        (rng.normal(size=size) * 10.0**exponent).astype(np.float32)
        for size, exponent in zip(((1, 5, 32), (1, 32, 7)), exponents, strict=True)
    )
    if zeros:
        left[0, 2] = 0
        right[0, :, 3] = 0
    want = left.astype(np.float64) @ right.astype(np.float64)
    have = _PRODUCT.run(None, {"a": left, "b": right})[0]
    bound = np.abs(left).max(axis=-1, keepdims=True) * np.abs(right).max(axis=-2, keepdims=True)
    assert np.isfinite(have).all()
    assert (np.abs(have - want) <= 32 * bound * 2e-3).all()


def _product_session(opset: int = 18) -> onnxruntime.InferenceSession:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 5, 32]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 32, 7]),
        ],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 5, 7])],
    )
    half = half_graph(_model(graph, opset))
    assert [n.op_type for n in half.graph.node].count("MatMul") == 1
    return onnxruntime.InferenceSession(emulate_half(half).SerializeToString())


def _model(graph: onnx.GraphProto, opset: int = 18) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


_PRODUCT = _product_session()


def _small(scale: float) -> onnx.ModelProto:
    """A convolution, a norm, a division and a product: what overflows and what does not."""
    rng = np.random.default_rng(1)
    constants = {
        "w": (rng.normal(size=(6, 3, 3, 3)) * scale).astype(np.float32),
        "axes": np.array([-1], np.int64),
        "flat": np.array([0, 6, -1], np.int64),
        "m": rng.normal(size=(16, 5)).astype(np.float32),
        "last": rng.normal(size=(5, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["f"]),
        helper.make_node("Reshape", ["f", "flat"], ["r"]),
        helper.make_node("ReduceL2", ["r", "axes"], ["l"], keepdims=1),
        helper.make_node("Div", ["r", "l"], ["n"]),
        helper.make_node("MatMul", ["n", "m"], ["p"]),
        helper.make_node("MatMul", ["p", "last"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6, 4])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return _model(graph)


@pytest.mark.parametrize("scale", [1.0, 30.0, 3000.0])
@pytest.mark.parametrize("names", [None, PLAIN])
def test_the_emulation_is_what_half_precision_numbers_give(
    scale: float, names: Collection[str] | None
) -> None:
    """Against numpy's own float16: the same where it is finite, broken where it is broken."""
    half = half_graph(_small(scale), names)
    image = np.random.default_rng(2).normal(size=(2, 3, 6, 6)).astype(np.float32)
    with np.errstate(all="ignore"):
        want = ReferenceEvaluator(half).run(None, {"x": image})[0]
    session = onnxruntime.InferenceSession(emulate_half(half).SerializeToString())
    have = session.run(None, {"x": image})[0]
    np.testing.assert_allclose(have, want, atol=2e-2)
    if names is None and scale < 3000:
        assert np.isfinite(have).all()
        assert np.abs(have).max() > 0.1


def test_weights_that_half_precision_cannot_hold() -> None:
    with pytest.raises(InputError, match=r"weight 'w' reaches .*fp16 ends at 65504; export in fp32"):
        half_graph(_small(1e5))


def test_an_older_operator_set_is_refused() -> None:
    model = _small(1.0)
    model.opset_import[0].version = 11
    with pytest.raises(InputError, match="operator set 11; expected 13"):
        half_graph(model)


def test_a_graph_that_cannot_be_written_says_so() -> None:
    """A norm with its axes as an input, as only later operator sets have it."""
    model = _small(1.0)
    model.opset_import[0].version = 13
    with pytest.raises(InputError, match=r"cannot be written in half precision: .*ReduceL2"):
        half_graph(model)


def test_axes_of_an_older_operator_set_are_attributes() -> None:
    left, right = (np.full(shape, 3e4, np.float32) for shape in ((1, 5, 32), (1, 32, 7)))
    have = _product_session(13).run(None, {"a": left, "b": right})[0]
    np.testing.assert_allclose(have, left @ right, rtol=1e-3)


def test_a_factor_of_two_products() -> None:
    """One tensor, normalised along either axis, and once more."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["a", "a"], ["b"]),
            helper.make_node("MatMul", ["a", "b"], ["c"]),
        ],
        "square",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 4, 4])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 4, 4])],
    )
    value = np.random.default_rng(0).normal(size=(1, 4, 4)).astype(np.float32) * 1e3
    session = onnxruntime.InferenceSession(emulate_half(half_graph(_model(graph))).SerializeToString())
    have = session.run(None, {"a": value})[0]
    np.testing.assert_allclose(have, value @ (value @ value), rtol=2e-2, atol=2e7)


def test_weights_in_constant_nodes() -> None:
    """As other exporters write them."""
    model, image = _small(1.0), np.random.default_rng(2).normal(size=(2, 3, 6, 6)).astype(np.float32)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.graph.node[:], other.graph.initializer[:]
    other.graph.node.extend(
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer
    )
    other.graph.node.extend(model.graph.node)
    results = [
        onnxruntime.InferenceSession(half_graph(m).SerializeToString()).run(None, {"x": image})[0]
        for m in (model, other)
    ]
    np.testing.assert_array_equal(*results)
