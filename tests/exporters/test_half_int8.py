"""int8 layers in a graph of two precisions: their types, their numbers, engines for Turing and Ampere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_simcc import decode_simcc
from rtmpose_sdk.errors import EngineError
from rtmpose_sdk.exporters.calibrate import calibration_images
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.half_choice import float_node_names
from rtmpose_sdk.exporters.half_emulation import emulate_half
from rtmpose_sdk.exporters.half_int8 import unheld_layers
from rtmpose_sdk.exporters.int8 import Int8Quantizer, Scheme
from rtmpose_sdk.exporters.sensitivity import output_error
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.exporters.tensorrt import builder_graph, write_tensorrt
from rtmpose_sdk.runtimes.engine_file import read_engine_header
from rtmpose_sdk.runtimes.tensorrt_module import installed_flavours
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, find_model

from .conftest import keypoint_drift, run_graph

FLOAT, HALF, INT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8
UNIT = ["Abs", "ReduceMax", "Clip", "Div"]

rtx = pytest.mark.skipif(
    "tensorrt-rtx" not in installed_flavours(), reason="tensorrt-rtx is not installed (no wheel here?)"
)


def _quantized(subject: Subject, crops: np.ndarray, kept: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The graph with all layers in int8 but those that are kept, as TensorRT takes it."""
    quantizer = Int8Quantizer(subject.graph, subject.card, crops, Scheme(symmetric=True))
    return quantizer.quantize({layer.name for layer in quantizer.layers} - set(kept))


Once = Callable[[str, Callable[[Path], object]], Path]


def _quantized_once(once: Once, name: str, count: int) -> tuple[onnx.ModelProto, ModelCard]:
    """A bundled network with all layers in int8, calibrated on `count` pictures, once in a run."""
    subject = subject_from_artifact(find_model(name))

    def make(folder: Path) -> None:
        model = _quantized(subject, verification_images(subject.card, None, None, count))
        onnx.save(model, str(folder / "n.onnx"))

    return onnx.load(str(once(f"half-int8-{name}", make) / "n.onnx")), subject.card


@pytest.fixture(scope="module")
def pose(once: Once) -> tuple[onnx.ModelProto, ModelCard]:
    """The trained RTMPose-t of the package, all of its layers in int8."""
    return _quantized_once(once, "rtmpose-t-own", 8)


@pytest.fixture(scope="module")
def detector(once: Once) -> tuple[onnx.ModelProto, ModelCard]:
    """The trained RTMDet-nano of the package: ten of its layers have weights as small as 5e-7."""
    return _quantized_once(once, "rtmdet-nano-own", 2)


class _Types:
    """Tensors' types, what makes them, and int8 layers checked for what TensorRT needs of them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        onnx.checker.check_model(model, full_check=True)
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        self.nodes = list(model.graph.node)
        self.of = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
        self.of |= {t.name: t.data_type for t in graph.initializer}
        self.made_by = {name: node for node in self.nodes for name in node.output}

    def int8_layers(self) -> list[onnx.NodeProto]:
        """Layers of dequantised input and weights, of one type with all that is around them."""
        found = []
        for node in self.nodes:
            feeds = [self.made_by.get(name) for name in node.input[:2]]
            kinds = {feed.op_type for feed in feeds if feed is not None}
            if node.op_type not in ("Conv", "MatMul") or kinds != {"DequantizeLinear"}:
                continue
            assert {self.of[name] for name in (*node.input, *node.output)} == {self.of[node.output[0]]}
            assert all(self.of[feed.input[0]] == INT8 for feed in feeds)
            users = {user.op_type for user in self.nodes if node.output[0] in user.input}
            assert users == {"QuantizeLinear"}  # no Cast on the way out either
            found.append(node)
        return found

    def results(self, kind: int) -> list[onnx.NodeProto]:
        """Nodes whose result is of a type, Casts left out."""
        return [n for n in self.nodes if self.of[n.output[0]] == kind and n.op_type != "Cast"]


def test_all_but_what_is_sensitive_is_fp16_around_int8_layers(
    pose: tuple[onnx.ModelProto, ModelCard],
) -> None:
    types = _Types(builder_graph(half_graph(pose[0]), pose[1]))
    layers = types.int8_layers()
    assert Counter(node.op_type for node in layers) == {"Conv": 38, "MatMul": 5}
    assert {types.of[node.output[0]] for node in layers} == {HALF}
    floats = types.results(FLOAT)
    assert [node.op_type for node in floats if node.op_type != "DequantizeLinear"] == [
        *["Transpose", "Sub", "Mul"],  # the picture
        *["ReduceL2", "Mul", "Clip", "Div", "Mul"],  # ScaleNorm, times its g
        *["ReduceL2", "Mul", "Mul", "Clip", "Div", "Mul"],  # the same; the shortcut's scale
        *["Sigmoid", "Mul", "Split", "Mul", "Mul", "Add", "Add", "Transpose"],  # SiLU, query and key
        *[*UNIT, *UNIT, "Mul", "Mul"],  # query times key
        *["Div", "Relu", "Pow"],  # the squared ReLU
        *[*UNIT, *UNIT, "Mul", "Mul"],  # attention times v
        *["Mul", "Add"],  # gate, shortcut
    ]
    dequantized = [n for n in floats if n.op_type == "DequantizeLinear"]
    assert len(dequantized) == 5  # what the five products gave: mlp, uv, o, and both outputs
    assert {"simcc_x", "simcc_y"} < {n.output[0] for n in dequantized}
    for node in types.nodes:  # what is quantised is made in that type: the picture is not cast before
        if node.op_type == "QuantizeLinear":
            source = types.made_by[node.input[0]]
            assert source.op_type != "Cast"
            assert types.of[node.input[0]] == types.of[node.input[1]]


def test_layers_that_are_kept_are_what_they_are_without_int8() -> None:
    """Convolutions fp16, classifiers and o fp32, as convolutions of width one."""
    subject = subject_from_artifact(find_model("rtmpose-t-own"))
    stem = next(node.name for node in subject.graph.graph.node if node.op_type == "Conv")
    kept = ("node_linear_2", "node_linear_3", "node_linear_4", stem)
    model = _quantized(subject, verification_images(subject.card, None, None, 2), kept)
    types = _Types(half_graph(model))
    assert len(types.int8_layers()) == 43 - len(kept)
    kinds = {node.name: types.of[node.output[0]] for node in types.nodes if node.op_type == "Conv"}
    assert [kinds.get(name) for name in kept] == [FLOAT, FLOAT, FLOAT, HALF]


def test_layers_with_scales_that_fp16_does_not_hold_are_fp32(
    detector: tuple[onnx.ModelProto, ModelCard],
) -> None:
    model = detector[0]
    types = _Types(half_graph(model))
    layers = types.int8_layers()
    assert len(layers) == 123
    unheld = unheld_layers(model)
    assert 0 < len(unheld) < 20
    floats = {n.output[0] for n in layers if types.of[n.output[0]] == FLOAT}
    assert unheld < floats
    assert len(floats - unheld) == 6  # the last convolutions, as in fp16
    scales = {t.name: numpy_helper.to_array(t) for t in half_graph(model).graph.initializer}
    halves = [v for k, v in scales.items() if "scale" in k and v.dtype == np.float16]
    assert len(halves) > 200
    assert min(v.min() for v in halves) >= np.finfo(np.float16).smallest_normal


def _unrounded(half: onnx.ModelProto, full: onnx.ModelProto) -> onnx.ModelProto:
    """The mixed graph with every fp16 tensor fp32, weights and scales those of the fp32 graph."""
    result = onnx.ModelProto()
    result.CopyFrom(half)
    del result.graph.value_info[:]
    values = {t.name: numpy_helper.to_array(t) for t in full.graph.initializer}
    for tensor in result.graph.initializer:
        if tensor.data_type == HALF:
            whole = values[tensor.name.removesuffix(".half")]
            tensor.CopyFrom(numpy_helper.from_array(whole, tensor.name))
    for node in result.graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == HALF:
            node.attribute[0].i = FLOAT
    return result


def test_keypoints_are_those_of_int8_with_fp32_around_it(coco: dict, shared: Path) -> None:
    """But for rounding. That moves as much as any rounding does in int8: another kernel's, for one.

    A value between two int8 numbers falls to the other, and keypoints that the network doubts go far: of
    the very same graph one in a hundred moves by 50 px where ONNX Runtime fuses nothing. Of all
    594 persons AP is 0.433 with fp32 around int8 and 0.435 with fp16 (RTMPose-t, eighth version).
    """
    subject = subject_from_artifact(find_model("rtmpose-t-own"))
    card = subject.card
    calibration = calibration_images(card, shared / "data" / "coco_train", DEFAULT_DETECTOR, limit=64)
    crops = verification_images(card, coco["folder"], coco["file"], 64)
    model = _quantized(subject, calibration, ("node_conv2d_9", "node_linear", "node_linear_2"))
    half = half_graph(model)
    want, network = run_graph(model, crops, False), run_graph(subject.graph, crops)

    assert np.percentile(keypoint_drift(want, run_graph(_unrounded(half, model), crops, False)), 99) <= 1.0

    have, other = run_graph(emulate_half(half), crops), run_graph(model, crops)
    assert all(np.isfinite(values).all() for values in have)
    assert all(values.dtype == np.float32 for values in have)
    cost = output_error(network, want)
    assert output_error(network, have) < 1.6 * cost
    assert output_error(want, have) < 1.5 * cost  # fp16 moves outputs about as far as int8 does
    sure = decode_simcc(*network, 2.0, 10.0).scores.ravel() > 0.6
    assert sure.mean() > 0.15
    assert (
        np.percentile(keypoint_drift(want, have)[sure], 99)
        <= np.percentile(keypoint_drift(want, other)[sure], 99) + 1
    )


def test_scores_and_boxes_stay(detector: tuple[onnx.ModelProto, ModelCard], coco: dict) -> None:
    model, card = detector
    images = verification_images(card, coco["folder"], None, 12)
    boxes, scores = run_graph(model, images, False)
    half = half_graph(model)
    exact = run_graph(_unrounded(half, model), images, False)
    assert np.abs(exact[1] - scores).max() < 1e-3
    have, other = run_graph(emulate_half(half), images), run_graph(model, images)  # which has other kernels
    assert np.abs(have[1] - scores).mean() < 1.5 * np.abs(other[1] - scores).mean()
    sure = scores > 0.4
    assert sure.sum() > 20
    shifts = [np.abs(found[0] - boxes)[sure].max(axis=-1) for found in (have, other)]
    assert np.median(shifts[0]) <= np.median(shifts[1]) + 1


def _qdq(
    nodes: list[tuple[str, list[str], str]],
    weights: dict[str, np.ndarray],
    scales: dict[str, float],
    outputs: dict[str, list[int | str]],
    opset: int = 18,
) -> onnx.ModelProto:
    """Nodes (kind, inputs, output) on x (N,4,6,6); what has a scale is quantised, weights per channel."""
    made = []
    constants = {"zero": np.array(0, np.int8), "axes": np.array([-1]), "flat": np.array([0, 4, 36])}
    for name, value in weights.items():
        scale = np.abs(value).reshape(len(value), -1).max(axis=1) / 127
        constants |= {
            f"{name}.int8": np.round(value / scale.reshape(-1, *[1] * (value.ndim - 1))).astype(np.int8),
            f"{name}.scale": scale.astype(np.float32),
            f"{name}.zeros": np.zeros(len(value), np.int8),
        }
        inputs = [f"{name}.{part}" for part in ("int8", "scale", "zeros")]
        made.append(helper.make_node("DequantizeLinear", inputs, [name], axis=0))
    constants |= {f"{name}.scale": np.array(value, np.float32) for name, value in scales.items()}
    for kind, inputs, output in [("Identity", ["image"], "x"), *nodes]:
        if output not in scales:
            made.append(helper.make_node(kind, inputs, [output], output))
            continue
        extra = [f"{output}.scale", "zero"]
        made.append(helper.make_node(kind, inputs, [f"{output}.real"], output))
        made.append(helper.make_node("QuantizeLinear", [f"{output}.real", *extra], [f"{output}.int8"]))
        made.append(helper.make_node("DequantizeLinear", [f"{output}.int8", *extra], [output]))
    graph = helper.make_graph(
        made,
        "int8",
        [helper.make_tensor_value_info("image", FLOAT, ["N", 4, 6, 6])],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 4, 1, 1)).astype(np.float32)
IMAGE = RNG.normal(size=(2, 4, 6, 6)).astype(np.float32)


def _one(model: onnx.ModelProto, image: np.ndarray = IMAGE) -> np.ndarray:
    result: np.ndarray = run_graph(model, image, False)[0]
    return result


@pytest.mark.parametrize("tiny", [1e-5, 1e-8])
def test_small_scales_lose_nothing(tiny: float) -> None:
    """Weights, and one channel of them, below what fp16 holds; the next layer makes them large again."""
    some = KERNEL.copy()
    some[1] *= tiny
    model = _qdq(
        [
            ("Conv", ["x", "a"], "f"),
            ("Conv", ["f", "b"], "g"),
            ("Conv", ["g", "c"], "h"),
            ("Conv", ["h", "d"], "y"),
        ],
        {"a": KERNEL * tiny, "b": KERNEL * 300, "c": some, "d": KERNEL / tiny},
        {"x": 0.02, "f": 0.05 * tiny, "g": 10 * tiny, "h": 20 * tiny},
        {"y": ["N", 4, 6, 6]},
    )
    half, want = half_graph(model), _one(model)
    assert {n.output[0] for n in half.graph.node if n.op_type == "Conv"} >= unheld_layers(model)
    assert np.abs(want).max() > 1
    np.testing.assert_allclose(_one(emulate_half(half)), want, atol=1e-3 * np.abs(want).max())
    naive = half_graph(model, float_node_names(model) - unheld_layers(model) | {"y"})
    lost = np.abs(_one(emulate_half(naive)) - want).max() / np.abs(want).max()
    assert lost > 0.01


def test_what_feeds_both_precisions_is_dequantised_twice() -> None:
    model = _qdq(
        [
            ("Conv", ["x", "a"], "f"),
            ("Relu", ["f"], "r"),
            ("ReduceL2", ["f", "axes"], "n"),
            ("Conv", ["r", "b"], "g"),
            ("Mul", ["g", "n"], "y"),
        ],
        {"a": KERNEL, "b": KERNEL},
        {"x": 0.02, "f": 0.05, "r": 0.05},
        {"y": ["N", 4, 6, 6]},
    )
    types = _Types(half_graph(model))
    twice = [n for n in types.nodes if n.op_type == "DequantizeLinear" and n.input[0] == "f.int8"]
    assert {types.of[n.output[0]] for n in twice} == {HALF, FLOAT}
    feeds = {n.op_type: types.made_by[n.input[0]] for n in types.nodes if n.op_type in ("Relu", "ReduceL2")}
    assert all(feed.op_type == "DequantizeLinear" for feed in feeds.values())
    want, have = _one(model), _one(emulate_half(half_graph(model)))
    np.testing.assert_allclose(have, want, atol=0.02 * np.abs(want).max())


@pytest.mark.parametrize(("size", "kind"), [(1.0, HALF), (2e4, HALF), (1e5, FLOAT)])
def test_products_in_the_fp32_part(size: float, kind: int) -> None:
    """fp16 between int8 numbers, unless it does not hold their scales; 2e4 gives products of 120,000."""
    model = _qdq(
        [
            ("Conv", ["x", "a"], "f"),
            ("Reshape", ["f", "flat"], "r"),
            ("ReduceL2", ["r", "axes"], "n"),
            ("Div", ["r", "n"], "d"),
            ("MatMul", ["d", "m"], "p"),
            ("Add", ["p", "p"], "y"),
        ],
        {"a": KERNEL, "m": np.tile(np.linspace(-size, size, 6), (36, 1))},
        {"x": 0.02, "d": 0.008, "p": 0.02 * size},
        {"y": ["N", 4, 6]},
    )
    types = _Types(half_graph(model))
    (product,) = (n for n in types.nodes if n.op_type == "MatMul")
    assert types.of[product.output[0]] == kind
    assert types.of[product.input[0]] == types.of[product.input[1]] == kind
    even = np.ones_like(IMAGE)
    want, have = _one(model, even), _one(emulate_half(half_graph(model)), even)
    assert np.abs(want).max() == pytest.approx(2 * 127 * 0.02 * size, rel=0.02)  # int8's largest number
    np.testing.assert_allclose(have, want, rtol=1e-3)


def test_an_operator_that_cannot_be_converted_is_named() -> None:
    model = _qdq([("Mine", ["x"], "y")], {}, {"x": 0.02}, {"y": ["N", 4, 6, 6]})
    with pytest.raises(EngineError, match=r"operator set 18 cannot be converted to 19: .*Mine"):
        half_graph(model)


_TENSOR = re.compile(rb' tensor=\{ (?:[^{}]|\{[^{}]*\})* name="([^"]+)"(?:[^{}]|\{[^{}]*\})* type=(\w+) \}')
_KERNEL = re.compile(rb' corrltn=\{ name="([^"]+)" output=\{"[^"]+" \} input=\{"([^"]+)" "([^"]+)"')
"""How TensorRT for RTX 1.7 writes tensors and convolutions into its engines."""


def _convolutions(engine: Path) -> dict[str, tuple[str, ...]]:
    """Types of the two factors of an engine's convolutions, by the node's name; "" is not known."""
    content = engine.read_bytes()
    types = {name: kind.decode() for name, kind in _TENSOR.findall(content)}
    found = {
        name.decode(): tuple(types.get(factor, "") for factor in factors)
        for name, *factors in _KERNEL.findall(content)
    }
    if not found:
        pytest.skip("this TensorRT for RTX does not write readable kernels into its engines")
    return found


@rtx
@pytest.mark.parametrize("name", ["pose", "detector"])
@pytest.mark.parametrize("target", ["sm75", "sm86"])
def test_engines(name: str, target: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """int8 where it is meant on Ampere; Turing computes those layers in the type that is around them."""
    model, card = request.getfixturevalue(name)
    path, half = tmp_path / "n.engine", half_graph(model)
    write_tensorrt(half, card, path, batch=(1, 4, 16), targets=(target,))
    assert read_engine_header(path).flavour == "tensorrt-rtx"
    types = _Types(half)
    layers = [node for node in types.int8_layers() if node.op_type == "Conv"]
    around = {node.name: "half" if types.of[node.output[0]] == HALF else "float" for node in layers}
    want = around if target == "sm75" else dict.fromkeys(around, "int8")
    assert _convolutions(path) == {name: (kind, kind) for name, kind in want.items()}


@rtx
def test_the_gate_runs_the_builders_graph(
    shared: Path, coco: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the export down: layers chosen, two targets built, keypoints and types as the card says."""
    monkeypatch.setattr("rtmpose_sdk.exporters.sensitivity.PROBE_CROPS", 4)  # a third of the time
    subject = subject_from_artifact(find_model("rtmpose-t-own"))
    calibration = calibration_images(
        subject.card, shared / "data" / "coco_train", DEFAULT_DETECTOR, limit=32
    )
    crops = verification_images(subject.card, coco["folder"], coco["file"], 32)
    settings = ExportSettings("tensorrt", "int8", calibration=calibration, targets=("sm75", "sm86"))
    with pytest.warns(UserWarning, match="int8 for sm75: TensorRT for RTX has no int8 convolutions"):
        found = export(subject, tmp_path / "t.engine", crops, settings=settings)
    assert found is not None
    assert found.verified, found
    assert found.what == "graph"
    card = artifact_card(tmp_path / "t.engine")
    assert card.precision == "int8"
    assert card.float_layers
