"""An ONNX graph run node by node in torch: what a graph in fp16 really gives, on a GPU as on a CPU.

ONNX Runtime computes fp16 nodes in fp32 on a CPU and hides their overflow. Only the operators of our own
graphs are known; each computes in the type of its inputs, as ONNX says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from rtmpose_sdk.errors import InputError

_TYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.BOOL: torch.bool,
}
Attributes = Mapping[str, Any]


class TorchGraph:
    """A graph of one input.

    Args:
        model: an ONNX model of ours; sizes that operators need (axes, shapes) are in it as constants.
        device: where it runs.

    Raises:
        InputError: an operator that is not known here.
    """

    def __init__(self, model: onnx.ModelProto, device: str | torch.device = "cpu") -> None:
        graph = model.graph
        self.device = torch.device(device)
        self.input = graph.input[0].name
        self.outputs = [value.name for value in graph.output]
        arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self._numbers = {
            name: np.atleast_1d(a).tolist() for name, a in arrays.items() if a.dtype == np.int64
        }
        self._constants = {name: torch.from_numpy(a.copy()).to(self.device) for name, a in arrays.items()}
        self._nodes = [
            (node, {a.name: helper.get_attribute_value(a) for a in node.attribute}) for node in graph.node
        ]
        unknown = sorted({node.op_type for node, _ in self._nodes} - _OPERATORS.keys())
        _only(not unknown, f"operators {', '.join(unknown)}")

    @torch.inference_mode()
    def __call__(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """Outputs in their order, for an input of the shape and type that the graph states."""
        values: dict[str, Tensor] = {
            **self._constants,
            self.input: torch.from_numpy(images).to(self.device),
        }
        for node, attributes in self._nodes:
            inputs = [values[name] if name else None for name in node.input]
            numbers = [self._numbers.get(name) for name in node.input]
            made = _OPERATORS[node.op_type](inputs, numbers, attributes)
            values.update(zip(node.output, made if isinstance(made, tuple) else (made,), strict=True))
        return [values[name].cpu().numpy() for name in self.outputs]


def _only(known: bool, what: str) -> None:
    """Graphs of ours have nothing else."""
    if not known:
        raise InputError(
            f"{what}: not known to this interpreter, which is for graphs of rtmpose-export in fp32 and fp16"
        )


def _conv(x: Sequence[Any], _: Sequence[Any], how: Attributes) -> Tensor:
    axes = x[0].dim() - 2
    pads = list(how.get("pads", [0] * 2 * axes))
    # torch wants them from the last axis to the first, before and after
    around = [pad for axis in reversed(range(axes)) for pad in (pads[axis], pads[axis + axes])]
    convolve: Callable[..., Tensor] = functional.conv1d if axes == 1 else functional.conv2d
    return convolve(
        functional.pad(x[0], around) if any(around) else x[0],
        x[1],
        x[2] if len(x) > 2 else None,
        tuple(how.get("strides", [1] * axes)),
        0,
        tuple(how.get("dilations", [1] * axes)),
        how.get("group", 1),
    )


def _max_pool(x: Sequence[Any], _: Sequence[Any], how: Attributes) -> Tensor:
    before, after = np.split(np.array(how.get("pads", [0] * 4)), 2)
    _only((before == after).all(), "a pool that is padded on one side")
    return functional.max_pool2d(
        x[0], tuple(how["kernel_shape"]), tuple(how.get("strides", [1, 1])), tuple(before.tolist())
    )


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(x: Sequence[Any], numbers: Sequence[Any], how: Attributes) -> Tensor:
        axes = numbers[1] if len(numbers) > 1 else list(how["axes"])
        return function(x[0], dim=axes, keepdim=bool(how.get("keepdims", 1)))

    return reduced


def _slice(x: Sequence[Any], numbers: Sequence[Any], _: Attributes) -> Tensor:
    starts, ends, axes, *steps = numbers[1:]
    found: Tensor = x[0]
    for start, end, axis, step in zip(
        starts, ends, axes, steps[0] if steps else [1] * len(axes), strict=True
    ):
        if step < 0:
            _only((start, step) == (-1, -1), "a slice that goes backwards over a part of an axis")
            found = found.flip(axis)
        else:
            found = found[(slice(None),) * (axis % found.dim()) + (slice(start, end, step),)]
    return found


def _split(x: Sequence[Any], numbers: Sequence[Any], how: Attributes) -> tuple[Tensor, ...]:
    return torch.split(x[0], numbers[1], how.get("axis", 0))


def _reshape(x: Sequence[Any], numbers: Sequence[Any], how: Attributes) -> Tensor:
    kept: Tensor = x[0]
    return kept.reshape([kept.shape[i] if size == 0 else size for i, size in enumerate(numbers[1])])


def _clip(x: Sequence[Any], _: Sequence[Any], how: Attributes) -> Tensor:
    low, high = (*x[1:], None, None)[:2]
    return torch.clamp(x[0], low, high)


def _resize(x: Sequence[Any], _: Sequence[Any], how: Attributes) -> Tensor:
    _only(how.get("mode", b"nearest") == b"nearest", "a resize that is not of nearest neighbours")
    return functional.interpolate(x[0], scale_factor=tuple(x[2].tolist()[2:]), mode="nearest")


def _hard_sigmoid(x: Sequence[Any], _: Sequence[Any], how: Attributes) -> Tensor:
    found: Tensor = (x[0] * how.get("alpha", 0.2) + how.get("beta", 0.5)).clamp(0, 1)
    return found


_OPERATORS: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    "Abs": lambda x, n, how: x[0].abs(),
    "Add": lambda x, n, how: x[0] + x[1],
    "Cast": lambda x, n, how: x[0].to(_TYPES[how["to"]]),
    "Clip": _clip,
    "Concat": lambda x, n, how: torch.cat(x, how["axis"]),
    "Conv": _conv,
    "Div": lambda x, n, how: x[0] / x[1],
    "HardSigmoid": _hard_sigmoid,
    "MatMul": lambda x, n, how: x[0] @ x[1],
    "MaxPool": _max_pool,
    "Mul": lambda x, n, how: x[0] * x[1],
    "Pow": lambda x, n, how: x[0] ** x[1],
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "Relu": lambda x, n, how: functional.relu(x[0]),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": lambda x, n, how: x[0].sigmoid(),
    "Slice": _slice,
    "Split": _split,
    "Sub": lambda x, n, how: x[0] - x[1],
    "Transpose": lambda x, n, how: x[0].permute(*how["perm"]),
}
