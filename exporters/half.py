"""A strongly typed graph of two precisions: fp16 where that is safe, fp32 where it is not.

Half precision ends at 65504 and has eleven bits. RTMPose passes the first in three places: the sum of
squares of ScaleNorm, the squared ReLU of the attention, and the products around it. The second makes ties
of neighbouring SimCC bins, and a bin is half a pixel. So:

- Convolutions, their activations and what lies between them are fp16.
- The picture's way to the first convolution is fp32 (0...255 minus a mean).
- ScaleNorm, attention, classifiers, box decode, softmax and all that follows them are fp32, outputs
  included; so is a last convolution (heatmaps, RTMDet's predictions).
- Among these fp32 nodes, a product with weights becomes a convolution of width one: TensorRT for RTX has no
  fp32 matrix product for compute capability 7.5 ("FP32 GEMM is not supported"), but fp32 convolutions.
- A product of two activations is fp16 there. Each factor is first divided by its largest magnitude along
  the axis that is summed over, and the product multiplied by both, in fp32. The factors then lie in -1...1
  and n products sum up to at most n: no weights and no picture can make it overflow.
- An int8 layer stays one. A DequantizeLinear is made directly before each node that it feeds, in that
  node's type (a Cast between them, and TensorRT makes no int8 layer); a QuantizeLinear has the type of what
  it is given. Where fp16 does not hold a scale, the layer is fp32.

All of it is written down in the graph, in Cast nodes: an engine has nothing to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.half_choice import float_node_names
from rtmpose_sdk.exporters.half_int8 import DEQUANTIZE, QUANTIZE, holds, with_half_pairs
from rtmpose_sdk.exporters.operator_set import operator_set

HALF_MAX = 65504.0
"""The largest fp16 number."""
MIN_OPSET = 13
_AXES_ARE_INPUTS = 18
"""Operator set from which ReduceMax takes its axes as an input."""
_TINY = 1e-30
"""Smallest divisor of a row; a row of zeros stays one."""
_FLOAT_ONLY = {"Resize": (1, 2)}
"""Inputs whose type the ONNX standard fixes: region and scales of Resize."""

Array = NDArray[Any]


def half_graph(model: onnx.ModelProto, float_nodes: Collection[str] | None = None) -> onnx.ModelProto:
    """The mixed-precision graph; same inputs and outputs.

    Args:
        model: fp32 graph of plain operators, as `build_onnx` gives it; or with QuantizeLinear and
            DequantizeLinear, as `Int8Quantizer` gives it.
        float_nodes: nodes (by the name of their first output) whose results are fp32; None takes
            `float_node_names(model)`. Nothing else is safe: for experiments.

    Raises:
        InputError: a weight that fp16 cannot hold, or a graph of an older operator set.
        EngineError: an int8 graph that cannot be had in an operator set which quantises fp16.
    """
    opset = operator_set(model)
    if opset < MIN_OPSET:
        raise InputError(f"the graph has operator set {opset}; expected {MIN_OPSET} or later")
    model = with_half_pairs(_with_plain_weights(model))
    names = float_node_names(model) if float_nodes is None else float_nodes
    return _Halving(model, names).graph()


def _with_plain_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constant nodes, and weights that are stored as fp16 behind a Cast, become plain fp32 weights."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    stored = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        elif node.op_type == "Cast" and node.input[0] in stored:
            values = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
            stored[node.input[0]].CopyFrom(numpy_helper.from_array(values, node.output[0]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return result


class _Halving:
    """One pass over the nodes; a cast is made where a tensor is first needed in the other type."""

    def __init__(self, model: onnx.ModelProto, float_nodes: Collection[str]) -> None:
        try:
            inferred = shape_inference.infer_shapes(model, strict_mode=True).graph
        except shape_inference.InferenceError as error:
            raise InputError(f"this graph cannot be written in half precision: {error}") from None
        types = {
            v.name: v.type.tensor_type for v in (*inferred.input, *inferred.output, *inferred.value_info)
        }
        self.model, self.float_nodes, self.opset = model, float_nodes, operator_set(model)
        self.weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.ranks = {name: len(kind.shape.dim) for name, kind in types.items()}
        self.floats = {name for name, kind in types.items() if kind.elem_type == TensorProto.FLOAT}
        self.floats |= {name for name, value in self.weights.items() if value.dtype == np.float32}
        self.dequantized = {n.output[0]: n for n in model.graph.node if n.op_type == DEQUANTIZE}
        self.halves: set[str] = set()
        """Tensors of the fp32 graph that are made in fp16."""
        self.made: set[str] = set()
        """Tensors that the fp32 graph does not have."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def graph(self) -> onnx.ModelProto:
        """The new model."""
        for node in self.model.graph.node:
            if node.op_type == DEQUANTIZE:
                continue  # made where it is needed, in the type that is needed there
            if node.op_type == QUANTIZE:
                self._quantize(node)
            elif node.output[0] not in self.float_nodes:
                self._halve(node)
            elif node.op_type != "MatMul" or self.ranks[node.output[0]] != 3 or self._is_int8(node):
                self._copy(node, self._as_float)
            elif node.input[1] in self.weights and self.weights[node.input[1]].ndim == 2:
                self._convolution(node)
            else:
                self._product(node)
        for value in self.model.graph.output:
            self._as_float(value.name)
        return self._assembled()

    def _quantize(self, node: onnx.NodeProto) -> None:
        held = holds(self.weights.get(node.input[1]))
        self._copy(node, self._as_half if node.input[0] in self.halves and held else self._as_float)

    def _is_int8(self, node: onnx.NodeProto) -> bool:
        """True for a product whose factors are both dequantised: one of int8 numbers."""
        return self.dequantized.keys() >= set(node.input)

    def _dequantize(self, name: str, result: str, cast: Callable[[str], str]) -> str:
        if result not in self.made:
            self.made.add(result)
            copied = self._copy(self.dequantized[name], cast)
            copied.name, copied.output[0] = f"DequantizeLinear_{result}", result
        return result

    def _halve(self, node: onnx.NodeProto) -> None:
        copied = self._copy(node, self._as_half)
        if node.op_type == "Cast" and node.output[0] in self.floats:
            copied.attribute[0].i = TensorProto.FLOAT16
        outputs = {value.name for value in self.model.graph.output}
        for i, name in enumerate(node.output):
            if name in self.floats and name in outputs:  # the graph's outputs stay fp32
                copied.output[i] = f"{name}.half"
                self.made.add(f"{name}.half")
                self._cast(f"{name}.half", name, TensorProto.FLOAT)
            elif name in self.floats:
                self.halves.add(name)

    def _copy(self, node: onnx.NodeProto, cast: Callable[[str], str]) -> onnx.NodeProto:
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

    def _add(self, kind: str, inputs: list[str], output: str, name: str = "", **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name or f"{kind}_{output}", **attributes)
        )
        return output

    def _cast(self, source: str, result: str, kind: int) -> str:
        return self._add("Cast", [source], result, to=kind)

    def _as_half(self, name: str) -> str:
        half = f"{name}.half"
        if name in self.weights:
            self.constants[half] = _to_half(name, self.weights[name])
            return half
        if name in self.halves:
            return name
        if name in self.dequantized and holds(self.weights.get(self.dequantized[name].input[1])):
            return self._dequantize(name, half, self._as_half)
        if half not in self.made:
            full = self._as_float(name)
            self.made.add(half)
            self._cast(full, half, TensorProto.FLOAT16)
        return half

    def _as_float(self, name: str) -> str:
        if name in self.weights:
            self.constants[name] = self.weights[name]
            return name
        if name in self.dequantized:
            return self._dequantize(name, name, self._as_float)
        if name not in self.halves:
            return name
        full = f"{name}.float"
        if full not in self.made:
            self.made.add(full)
            self._cast(name, full, TensorProto.FLOAT)
        return full

    def _convolution(self, node: onnx.NodeProto) -> None:
        """A product with weights, (N,K,in) x (in,out), as an fp32 convolution of width one along K."""
        (name, weights), output = node.input, node.output[0]
        kernel, turned = f"{weights}.kernel", f"{name}.turned"
        self.constants[kernel] = np.ascontiguousarray(self.weights[weights].T[:, :, None])
        if turned not in self.made:
            self.made.add(turned)
            self._add("Transpose", [self._as_float(name)], turned, perm=[0, 2, 1])
        result = self._add("Conv", [turned, kernel], f"{output}.turned", node.name)
        self.made.add(result)
        self._add("Transpose", [result], output, perm=[0, 2, 1])

    def _product(self, node: onnx.NodeProto) -> None:
        """A product of activations whose factors are fp16 numbers in -1...1, rescaled in fp32."""
        (left, rows), (right, columns) = self._unit(node.input[0], -1), self._unit(node.input[1], -2)
        output = node.output[0]
        unit = self._add("MatMul", [left, right], f"{output}.unit", node.name)
        full = self._cast(unit, f"{output}.unit.float", TensorProto.FLOAT)
        self._add("Mul", [self._add("Mul", [full, rows], f"{output}.rows"), columns], output)

    def _unit(self, name: str, axis: int) -> tuple[str, str]:
        """A factor in fp16, with its largest magnitude along `axis` at one, and what it was divided by."""
        new = f"{name}.axis{axis}"
        unit, scale = f"{new}.unit", f"{new}.scale"
        if unit in self.made:
            return unit, scale
        self.made.add(unit)
        self.constants["half.tiny"] = np.array(_TINY, np.float32)
        full = self._as_float(name)
        size = self._add("Abs", [full], f"{new}.size")
        peak = f"{new}.peak"
        if self.opset < _AXES_ARE_INPUTS:
            self._add("ReduceMax", [size], peak, axes=[axis], keepdims=1)
        else:
            self.constants[f"half.axis{axis}"] = np.array([axis], np.int64)
            self._add("ReduceMax", [size, f"half.axis{axis}"], peak, keepdims=1)
        self._add("Clip", [peak, "half.tiny"], scale)
        ratio = self._add("Div", [full, scale], f"{new}.ratio")
        return self._cast(ratio, unit, TensorProto.FLOAT16), scale

    def _assembled(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        graph = result.graph
        for field in (graph.node, graph.initializer, graph.value_info):
            del field[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in self.constants.items())
        try:
            result = shape_inference.infer_shapes(result, strict_mode=True)
            onnx.checker.check_model(result, full_check=True)
        except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
            raise InputError(f"this graph cannot be written in half precision: {error}") from None
        return result


def _to_half(name: str, values: Array) -> Array:
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= HALF_MAX:
        raise InputError(
            f"weight '{name}' reaches {largest:.3g}, and fp16 ends at {HALF_MAX:.0f}; export in fp32, or "
            "look at the checkpoint (weights of a trained network are small)"
        )
    return values.astype(np.float16)
