"""What would an engine with real fp16 arithmetic compute? Asked of an engine that has none."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

_EXACT = ("Reshape", "Transpose", "Concat", "Split", "Slice", "MaxPool", "DepthToSpace", "Relu", "Resize")
"""Operators whose results are numbers that they were given: nothing to round."""


def emulate_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in fp32 arithmetic, with every fp16 result rounded and overflowing as fp16 does.

    ONNX Runtime's CPU kernels compute fp16 nodes in fp32, and neither round nor overflow between two of
    them: an fp16 graph that gives NaN on a GPU gives right numbers there. This one gives what a GPU that
    adds up in fp32 (tensor cores do) would.

    Around fp16 DequantizeLinear they go wrong: a layer's bias is made int32 with the product of two scales,
    in fp16, where it underflows (ONNX Runtime 1.32, WeightBiasQuantization). The emulation is not touched.

    A norm (ReduceL2) is computed from its squares, as TensorRT's ONNX parser takes it apart.

    Args:
        model: a graph with fp16 nodes, as `half_graph` gives it; others come back as they are.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    types = {
        v.name: v.type.tensor_type.elem_type for v in shape_inference.infer_shapes(model).graph.value_info
    }
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes: list[onnx.NodeProto] = []
    for node in _without_norms(model, types):
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        nodes.append(copied)
        if node.op_type in _EXACT:
            continue
        for i, name in enumerate(node.output):
            if types.get(name) == TensorProto.FLOAT16:
                exact, half = f"{name}.exact", f"{name}.rounded"
                copied.output[i] = exact
                nodes.append(helper.make_node("Cast", [exact], [half], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
        if node.op_type == "Cast" and types.get(node.output[0]) == TensorProto.FLOAT16:
            copied.attribute[0].i = TensorProto.FLOAT
    del graph.node[:]
    del graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


def _without_norms(model: onnx.ModelProto, types: dict[str, int]) -> Iterator[onnx.NodeProto]:
    for node in model.graph.node:
        name = node.output[0]
        if node.op_type != "ReduceL2" or types.get(name) != TensorProto.FLOAT16:
            yield node
            continue
        total = f"{name}.total"
        types[total] = TensorProto.FLOAT16
        summed = onnx.NodeProto()
        summed.CopyFrom(node)
        summed.op_type, summed.output[0] = "ReduceSumSquare", total
        yield summed
        yield helper.make_node("Sqrt", [total], [name])
