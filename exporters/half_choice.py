"""Which nodes of a graph stay fp32 in half precision?"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx

from rtmpose_sdk.exporters.half_int8 import PAIR, int8_products, unheld_layers

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
SENSITIVE = ("ReduceL2", "Softmax")
"""Operators that are computed in fp32, with all that follows them."""


def float_node_names(model: onnx.ModelProto) -> set[str]:
    """Nodes that stay fp32, by the name of their first output.

    They are those before the first layer with weights, those in `SENSITIVE`, products of two activations,
    last layers with weights, and all that follows any of these but `int8_products`; and int8 layers with a
    scale that fp16 does not hold. Weights may be quantised.
    """
    nodes = list(model.graph.node)
    constants = _constants(model)
    weighted = {n.output[0] for n in nodes if n.op_type in WEIGHTED and n.input[1] in constants}
    leads_to_weights: set[str] = set()
    for node in reversed(nodes):
        if node.output[0] in weighted or leads_to_weights.intersection(node.output):
            leads_to_weights.update(node.input)
    starts = {
        node.output[0]
        for node in nodes
        if node.op_type in SENSITIVE
        or (node.op_type == "MatMul" and node.input[1] not in constants)
        or (node.output[0] in weighted and node.output[0] not in leads_to_weights)
    }
    image = {node.output[0] for node in nodes} - weighted - _downstream(nodes, weighted)
    floats = image | starts | _downstream(nodes, starts)
    return floats - int8_products(model) | (unheld_layers(model) & weighted)


def _constants(model: onnx.ModelProto) -> set[str]:
    """Weights, and what quantising and dequantising makes of weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in PAIR and node.input[0] in constants:
            constants.add(node.output[0])
    return constants


def _downstream(nodes: Iterable[onnx.NodeProto], starts: Collection[str]) -> set[str]:
    """First outputs of the nodes that depend on any of `starts`."""
    reached, found = set(starts), set()
    for node in nodes:
        if reached.intersection(node.input):
            reached.update(node.output)
            found.add(node.output[0])
    return found
