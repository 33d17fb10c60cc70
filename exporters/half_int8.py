"""What of int8 does fp16 hold? Of QuantizeLinear and DequantizeLinear in a graph of two precisions."""

from __future__ import annotations

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from rtmpose_sdk.exporters.operator_set import in_set, operator_set

QUANTIZE, DEQUANTIZE = PAIR = ("QuantizeLinear", "DequantizeLinear")
MIN_OPSET = 19
"""Operator set from which the two take fp16."""
_SMALLEST_SCALE = 2.0**-14
"""fp16's smallest normal number; what is smaller loses bits, and below 3e-8 is 0."""
_LARGEST_SCALE = 65504 / 128
"""What int8's largest magnitude times the scale still fits into fp16."""


def with_half_pairs(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in an operator set whose quantisation takes fp16, if it quantises anything.

    Raises:
        EngineError: it cannot be converted.
    """
    if operator_set(model) >= MIN_OPSET or not any(node.op_type in PAIR for node in model.graph.node):
        return model
    return in_set(model, "an int8 graph, which is to hold fp16", MIN_OPSET)


def holds(scale: NDArray[Any] | None) -> bool:
    """True if fp16 holds each scale with all of its eleven bits; None is one that is computed."""
    return scale is not None and bool(((scale >= _SMALLEST_SCALE) & (scale <= _LARGEST_SCALE)).all())


def unheld_layers(model: onnx.ModelProto) -> set[str]:
    """Nodes, by their first output, that are given or give int8 with a scale that fp16 does not hold.

    In fp32 they keep their scales, and hand on int8 as before. TensorRT refuses a scale of 0.
    """
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    touched = set()
    for node in model.graph.node:
        if node.op_type in PAIR:
            scale = scales.get(node.input[1])
            if not holds(None if scale is None else numpy_helper.to_array(scale)):
                touched.add(node.output[0] if node.op_type == DEQUANTIZE else node.input[0])
    return {
        node.output[0]
        for node in model.graph.node
        if node.op_type not in PAIR and touched.intersection((*node.input, *node.output))
    }


def int8_products(model: onnx.ModelProto) -> set[str]:
    """Matrix products of int8 numbers, by their first output, whose result goes nowhere but into int8.

    fp16 holds more of such a result than is kept of it, and what passes 65504 becomes int8's largest number
    as it would in fp32. TensorRT for RTX has no fp32 matrix product for compute capability 7.5, not even
    between int8 numbers.
    """
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == DEQUANTIZE}
    outside = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type != QUANTIZE:
            outside.update(node.input)
    return {
        node.output[0]
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and dequantized.issuperset(node.input[:2])
        and node.output[0] not in outside
    }
