"""ONNX graphs written by hand: one call for each operator, constants made on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from rtmpose_sdk._version import __version__
from rtmpose_sdk.exporters.operator_set import OPSET

Value = str
"""Name of a tensor in the graph."""
Operand = Value | float | Sequence[float] | Sequence[Sequence[float]] | NDArray[Any] | np.generic
IR_VERSION = 9

_DTYPES = {
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}
Shape = Sequence[int | str]


def name_nodes(nodes: Sequence[onnx.NodeProto]) -> None:
    """Give those a name that have none, in place.

    What ONNX Runtime 1.21 fuses of nodes without one has one name twice, which it then refuses.
    """
    taken = {node.name for node in nodes}
    for node in nodes:
        if not node.name:
            name = f"{node.op_type}_{node.output[0]}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


class OnnxGraph:
    """A graph in the making.

    An operand that is not a name becomes a constant: of numpy's own type, else float32 or int64.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def input(self, name: str, dtype: str, shape: Shape) -> Value:
        """Declare an input; names in `shape` are open sizes."""
        self._inputs.append(helper.make_tensor_value_info(name, _DTYPES[dtype], list(shape)))
        return name

    def output(self, name: str, value: Value, dtype: str, shape: Shape) -> None:
        """Declare an output that holds `value`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _DTYPES[dtype], list(shape)))

    def op(self, kind: str, *operands: Operand, **attributes: Any) -> Value:
        """One node with one output."""
        return self.ops(kind, 1, *operands, **attributes)[0]

    def ops(self, kind: str, outputs: int, *operands: Operand, **attributes: Any) -> list[Value]:
        """One node with several outputs."""
        names = [f"{kind.lower()}_{len(self._nodes)}_{i}" for i in range(outputs)]
        inputs = [each if isinstance(each, str) else self._constant(each) for each in operands]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def cast(self, value: Value, dtype: str) -> Value:
        """To another type, by numpy's name."""
        return self.op("Cast", value, to=_DTYPES[dtype])

    def sizes(self, value: Value, axes: Sequence[int]) -> list[Value]:
        """(1,) int64 each: sizes of a tensor."""
        shape = self.op("Shape", value)
        return [self.op("Gather", shape, [axis]) for axis in axes]

    def columns(self, value: Value, axis: int, count: int) -> list[Value]:
        """A tensor cut into `count` along an axis, each of size 1 there."""
        return self.ops("Split", count, value, axis=axis, num_outputs=count)

    def inline(self, model: onnx.ModelProto, prefix: str, feed: Value) -> dict[str, Value]:
        """Put a whole model of one input into the graph; names of its outputs → values."""
        placed = compose.add_prefix(model, prefix).graph
        self._nodes.append(helper.make_node("Identity", [feed], [placed.input[0].name]))
        self._nodes.extend(placed.node)
        self._constants.update({tensor.name: tensor for tensor in placed.initializer})
        return {value.name.removeprefix(prefix): value.name for value in placed.output}

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished model, checked."""
        name_nodes(self._nodes)
        graph = helper.make_graph(
            self._nodes, "rtmpose", self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        model.producer_name, model.producer_version = "rtmpose-sdk", __version__
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, value: Operand) -> Value:
        typed = isinstance(value, np.ndarray | np.generic)
        array = np.asarray(value)
        if not typed:
            array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._known:
            name = f"constant_{len(self._known)}"
            self._constants[name] = numpy_helper.from_array(array, name)
            self._known[key] = name
        return self._known[key]
