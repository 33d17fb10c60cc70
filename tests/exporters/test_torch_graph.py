"""Graphs node by node in torch give what ONNX Runtime gives, and in fp16 what fp16 gives."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.thaw import network_from_artifact
from rtmpose_sdk.exporters.torch_graph import TorchGraph
from rtmpose_sdk.zoo import find_model

from .conftest import keypoint_drift, run_graph


@pytest.mark.parametrize("name", ["rtmpose-t-own", "rtmdet-nano-own"])
def test_fp32_is_the_same(name: str) -> None:
    file = find_model(name)
    card = artifact_card(file)
    # Without open sides, whose sizes are computed in the graph.
    model = Subject(card, network_from_artifact(file)).full().graph
    shape = [d.dim_value or 2 for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [2, *reversed(card.input_size), 3]
    images = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    for have, want in zip(TorchGraph(model)(images), run_graph(model, images), strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, atol=1e-4 * np.abs(want).max())


def test_fp16_moves_no_keypoint_far(photo: np.ndarray) -> None:
    model = onnx.load(str(find_model("rtmpose-t-own")))
    images = np.ascontiguousarray(photo[None, 100:356, 100:292])
    half = TorchGraph(half_graph(model))(images)
    assert (keypoint_drift(run_graph(model, images), half) <= 1).mean() >= 0.9
    assert all(np.isfinite(values).all() for values in half)


def _model(node: onnx.NodeProto, kind: int, constants: dict[str, np.ndarray], size: int) -> onnx.ModelProto:
    """One operator on (size,) values."""
    values = [helper.make_tensor_value_info(name, kind, [size]) for name in ("x", "y")]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_fp16_overflows_as_fp16() -> None:
    node = helper.make_node("Mul", ["x", "two"], ["y"])
    model = _model(node, TensorProto.FLOAT16, {"two": np.array([2], np.float16)}, 2)
    (found,) = TorchGraph(model)(np.array([40000, 30000], np.float16))
    np.testing.assert_array_equal(found, np.array([np.inf, 60000], np.float16))


def test_padding_on_one_side_of_a_convolution() -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    kernel = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[0, 1, 2, 0], strides=[1, 2])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [numpy_helper.from_array(kernel, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    image = np.random.default_rng(1).standard_normal((1, 1, 5, 6)).astype(np.float32)
    (have,), (want,) = TorchGraph(model)(image), run_graph(model, image)
    np.testing.assert_allclose(have, want, atol=1e-5)


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(InputError, match="Bernoulli"):
        TorchGraph(_model(helper.make_node("Bernoulli", ["x"], ["y"]), TensorProto.FLOAT, {}, 1))


def test_attributes_that_our_graphs_do_not_have_are_refused() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(InputError, match="a pool that is padded on one side: not known"):
        TorchGraph(model)(np.zeros((1, 1, 4, 4), np.float32))
