"""Which nodes of an ONNX graph are what? Layers with weights, SiLU, and what a layer costs."""

from __future__ import annotations

import math
from typing import NamedTuple

import onnx
from onnx import shape_inference

LAYER_TYPES = ("Conv", "MatMul", "Gemm")


class Layer(NamedTuple):
    """A node with weights: name, kind, multiply-adds for one sample."""

    name: str
    kind: str
    multiply_adds: float


def layers(graph: onnx.ModelProto) -> list[Layer]:
    """Convolutions and products with a weight, in order; products of two activations are none."""
    inferred = shape_inference.infer_shapes(graph)
    shapes = {
        value.name: [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.output)
    }
    weights = {t.name: t for t in graph.graph.initializer}
    found = []
    for node in graph.graph.node:
        if node.op_type not in LAYER_TYPES or node.input[1] not in weights:
            continue
        size = math.prod(weights[node.input[1]].dims)
        places = shapes.get(node.output[0], [1])
        repeats = places[2:] if node.op_type == "Conv" else places[1:-1]
        found.append(Layer(node.name, node.op_type, float(size * math.prod(repeats))))
    return found


def silu_nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the Sigmoid and Mul nodes that are x * sigmoid(x), and of gates' sigmoids."""
    made_by = {name: node for node in graph.graph.node for name in node.output}
    names = []
    for node in graph.graph.node:
        if node.op_type == "Sigmoid":
            names.append(node.name)
        elif node.op_type == "Mul":
            sources = [made_by.get(name) for name in node.input]
            if any(s is not None and s.op_type == "Sigmoid" for s in sources):
                names.append(node.name)
    return names


def cut_behind_layers(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph up to its last layers, whose results become its outputs.

    What stands behind them (decode, NMS) has no weights, and can make a small error look like a large
    one: which of two boxes is kept is chance.
    """
    names = {layer.name for layer in layers(graph)}
    needed: dict[str, bool] = {}  # tensor → a layer stands behind it
    for node in reversed(graph.graph.node):
        behind = node.name in names or any(needed.get(name, False) for name in node.output)
        for name in node.input:
            needed[name] = needed.get(name, False) or behind
    last = [
        node.output[0]
        for node in graph.graph.node
        if node.name in names and not needed.get(node.output[0], False)
    ]
    cut = onnx.ModelProto()
    cut.CopyFrom(shape_inference.infer_shapes(graph))
    values = {v.name: v for v in (*cut.graph.value_info, *cut.graph.output)}
    outputs = [values.get(name) or onnx.ValueInfoProto(name=name) for name in last]
    del cut.graph.output[:]
    cut.graph.output.extend(outputs)
    wanted = set(last)
    kept = []
    for node in reversed(cut.graph.node):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted |= set(node.input)
    del cut.graph.node[:]
    cut.graph.node.extend(reversed(kept))
    return cut
