"""A strongly typed graph of two precisions: fp16 where that is safe, fp32 where it is not.

Half precision ends at 65504, and RTMPose passes that in three places: the sum of squares of ScaleNorm, the
squared ReLU of the attention, and the matrix products around it. So:

- Convolutions, their activations and what lies between them are fp16.
- The picture's way to the first convolution is fp32 (0...255 minus a mean).
- ScaleNorm, attention, box decode, softmax and everything after them are fp32, outputs included.
- Matrix products are fp16 everywhere (TensorRT for RTX has no fp32 ones for compute capability 7.5), but
  among those fp32 nodes both factors are first divided by their largest magnitude along the axis that is
  summed over, and the product multiplied by it, in fp32. Both factors then lie in -1...1, so that n
  products sum up to at most n: no weights and no picture can make it overflow. Behind a ScaleNorm, where
  n values are at most sqrt(n), that is left out for the left factor.
- A last convolution (heatmaps, RTMDet's predictions) is fp32, so that distances keep their resolution.

All of it is written down in the graph, in Cast nodes: an engine has nothing to choose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from rtmpose_sdk.errors import InputError

HALF_MAX = 65504.0
"""The largest fp16 number."""
MIN_OPSET = 18
WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
SENSITIVE = ("ReduceL2", "Softmax")
"""Operators that are computed in fp32, with all that follows them."""
_TINY = 1e-30
"""Smallest divisor of a row; a row of zeros stays one."""
_FLOAT_ONLY = {"Resize": (1, 2)}
"""Inputs whose type the ONNX standard fixes: region and scales of Resize."""

Array = NDArray[Any]


def half_graph(model: onnx.ModelProto, float_nodes: Collection[str] | None = None) -> onnx.ModelProto:
    """The mixed-precision graph; same inputs and outputs.

    Args:
        model: fp32 graph of plain operators, as `build_onnx` gives it.
        float_nodes: nodes (by the name of their first output) whose results are fp32; None takes
            `float_node_names(model)`. A matrix product among them is an fp16 one between rescalings.

    Raises:
        InputError: a weight that fp16 cannot hold, or a graph of an older operator set.
    """
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < MIN_OPSET:
        raise InputError(f"the graph has operator set {opset}; expected {MIN_OPSET} or later")
    names = float_node_names(model) if float_nodes is None else float_nodes
    return _Halving(model, names).graph()


def float_node_names(model: onnx.ModelProto) -> set[str]:
    """Nodes that stay fp32, by the name of their first output.

    They are those before the first layer with weights, those in `SENSITIVE`, products of two activations,
    last layers with weights, and all that follows any of these.
    """
    nodes = list(model.graph.node)
    constants = {tensor.name for tensor in model.graph.initializer}
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
    return image | starts | _downstream(nodes, starts)


def _downstream(nodes: Iterable[onnx.NodeProto], starts: Collection[str]) -> set[str]:
    """First outputs of the nodes that depend on any of `starts`."""
    reached, found = set(starts), set()
    for node in nodes:
        if reached.intersection(node.input):
            reached.update(node.output)
            found.add(node.output[0])
    return found


class _Halving:
    """One pass over the nodes; casts are made where a tensor is first needed in the other type."""

    def __init__(self, model: onnx.ModelProto, float_nodes: Collection[str]) -> None:
        inferred = shape_inference.infer_shapes(model, strict_mode=True).graph
        values = (*inferred.input, *inferred.output, *inferred.value_info)
        self.model, self.float_nodes = model, float_nodes
        self.weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.floats |= {name for name, value in self.weights.items() if value.dtype == np.float32}
        self.bounded = _scale_norms(model.graph.node)
        self.halves: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.made: set[str] = set()

    def graph(self) -> onnx.ModelProto:
        """The new model."""
        outputs = {value.name for value in self.model.graph.output}
        for node in self.model.graph.node:
            name = node.output[0]
            if name in self.float_nodes:
                if node.op_type == "MatMul":
                    self._product(node)
                else:
                    self._copy(node, self._as_float)
                continue
            copied = self._copy(node, self._as_half)
            for i, output in enumerate(node.output):
                if output not in self.floats:
                    continue
                self.halves.add(output)
                if output in outputs:  # a graph's outputs stay fp32
                    copied.output[i] = f"{output}.half"
                    self.made.add(f"{output}.half")
                    self._cast(f"{output}.half", output, TensorProto.FLOAT)
        return self._assembled()

    def _copy(self, node: onnx.NodeProto, cast: Any) -> onnx.NodeProto:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        fixed = _FLOAT_ONLY.get(node.op_type, ())
        for i, name in enumerate(node.input):
            if name in self.floats:
                copied.input[i] = self._as_float(name) if i in fixed else cast(name)
            elif name in self.weights:
                self.constants[name] = self.weights[name]
        copied.name = node.name or f"{node.op_type}_{node.output[0]}"
        self.nodes.append(copied)
        return copied

    def _cast(self, source: str, result: str, kind: int) -> str:
        self._add("Cast", [source], result, to=kind)
        return result

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], f"{kind}_{output}", **attributes))
        return output

    def _as_half(self, name: str) -> str:
        if name in self.weights:
            half = f"{name}.half"
            self.constants[half] = _to_half(name, self.weights[name])
            return half
        half = f"{name}.half"
        if half in self.made:
            return half
        if name in self.halves:
            return name
        self.made.add(half)
        return self._cast(name, half, TensorProto.FLOAT16)

    def _as_float(self, name: str) -> str:
        if name in self.weights:
            self.constants[name] = self.weights[name]
            return name
        if name not in self.halves or f"{name}.half" in self.made:
            return name
        full = f"{name}.float"
        if full not in self.made:
            self.made.add(full)
            self._cast(name, full, TensorProto.FLOAT)
        return full

    def _product(self, node: onnx.NodeProto) -> None:
        """A product whose factors are fp16 numbers in -1...1, rescaled in fp32."""
        (left, left_scale), (right, right_scale) = (
            self._unit(name, axis) for name, axis in zip(node.input, (-1, -2), strict=True)
        )
        output = node.output[0]
        half = f"{output}.unit"
        self.nodes.append(helper.make_node("MatMul", [left, right], [half], node.name or f"MatMul_{half}"))
        scales = [scale for scale in (left_scale, right_scale) if scale is not None]
        last = self._cast(half, f"{half}.float" if scales else output, TensorProto.FLOAT)
        for i, scale in enumerate(scales):
            done = i == len(scales) - 1
            last = self._add("Mul", [last, scale], output if done else f"{output}.scaled")

    def _unit(self, name: str, axis: int) -> tuple[str, str | None]:
        """A factor in fp16 with its largest magnitude along `axis` at one, and what it was divided by."""
        if name in self.weights:
            values = self.weights[name]
            scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True), np.float32(_TINY))
            self.constants[f"{name}.unit"] = _to_half(name, values / scale)
            self.constants[f"{name}.scale"] = scale
            return f"{name}.unit", f"{name}.scale"
        if name in self.bounded and axis == -1:
            return self._as_half(name), None
        unit, scale_name = f"{name}.unit{axis}", f"{name}.scale{axis}"
        if unit not in self.made:
            self.made.add(unit)
            full = self._as_float(name)
            axes = self._constant(f"axis{axis}", np.array([axis], np.int64))
            tiny = self._constant("tiny", np.array(_TINY, np.float32))
            size = self._add("Abs", [full], f"{name}.abs{axis}")
            peak = self._add("ReduceMax", [size, axes], f"{name}.peak{axis}", keepdims=1)
            self._add("Clip", [peak, tiny], scale_name)
            ratio = self._add("Div", [full, scale_name], f"{name}.ratio{axis}")
            self._cast(ratio, unit, TensorProto.FLOAT16)
        return unit, scale_name

    def _constant(self, name: str, value: Array) -> str:
        self.constants[f"half.{name}"] = value
        return f"half.{name}"

    def _assembled(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        graph = result.graph
        for field in (graph.node, graph.initializer, graph.value_info):
            del field[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in self.constants.items())
        result = shape_inference.infer_shapes(result, strict_mode=True)
        onnx.checker.check_model(result, full_check=True)
        return result


def _scale_norms(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Outputs of ScaleNorms: a vector divided by its clipped, scaled ReduceL2."""
    norms, found = set(), set()
    for node in nodes:
        if node.op_type == "ReduceL2" or (node.op_type in ("Mul", "Clip") and node.input[0] in norms):
            norms.add(node.output[0])
        elif node.op_type == "Div" and node.input[1] in norms:
            found.add(node.output[0])
    return found


def _to_half(name: str, values: Array) -> Array:
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= HALF_MAX:
        raise InputError(
            f"weight '{name}' reaches {largest:.3g}, and fp16 ends at {HALF_MAX:.0f}; export in fp32, or "
            "look at the checkpoint (weights of a trained network are small)"
        )
    return values.astype(np.float16)
