"""One execution context with its buffers: input up, network, outputs down; recorded, or call by call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rtmpose_sdk.errors import EngineError
from rtmpose_sdk.runtimes.base import Array, TensorSpec
from rtmpose_sdk.runtimes.cuda_memory import CudaMemory

Shape = tuple[int, ...]


class _Buffer(NamedTuple):
    """Memory of a tensor on both sides; as large as the largest shape so far."""

    address: int
    host: Array


class Execution:
    """A context, its memory, and the shapes that it is set to.

    Args:
        context: the engine's execution context; no one else may use it.
        memory: the device.
        inputs, outputs: of the engine; one input.
    """

    def __init__(
        self,
        context: Any,
        memory: CudaMemory,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self._context, self._memory = context, memory
        self._input, self._outputs = inputs[0], outputs
        self._buffers: dict[str, _Buffer] = {}
        self._shapes: dict[str, Shape] = {}
        self._graph: Any = None

    def run(self, array: Array) -> tuple[Array, ...]:
        """Outputs for one input; the arrays belong to the caller.

        Raises:
            EngineError: the engine failed, or an output's size depends on the data.
        """
        self._take(array)
        self._start()
        self._memory.synchronize()
        return tuple(self._view(spec).copy() for spec in self._outputs)

    def by_events(self, array: Array) -> float:
        """S that the device takes for one input: copies and network, see `CudaMemory.timed`.

        Raises:
            EngineError: see `run`.
        """
        self._take(array)
        return self._memory.timed(self._start)

    def record(self) -> None:
        """From now on the same shape is one launch; it has been run once (TensorRT asks for that).

        Raises:
            EngineError: it cannot be recorded.
        """
        self._memory.begin_capture()
        try:
            self._queue()
        except EngineError:
            self._abandon()
            raise
        self._graph = self._memory.end_capture()

    def close(self) -> None:
        """Free the graph and the memory."""
        if self._graph is not None:
            self._memory.drop(self._graph)
            self._graph = None
        for name in list(self._buffers):
            self._free(name)
        self._context = None

    def _abandon(self) -> None:
        """Leave the recording mode after a call in it has failed."""
        try:
            self._memory.drop(self._memory.end_capture())
        except EngineError:  # a broken recording ends with an error of its own
            return

    def _take(self, array: Array) -> None:
        """Put an input into pinned memory."""
        if array.shape != self._shapes.get(self._input.name):
            self._reshape(array.shape)
        np.copyto(self._view(self._input), array)

    def _start(self) -> None:
        """Queue the recorded graph, or call by call what it would hold."""
        if self._graph is None:
            self._queue()
        else:
            self._memory.launch(self._graph)

    def _queue(self) -> None:
        name = self._input.name
        self._memory.upload(self._buffers[name].address, self._bytes(self._input))
        if not self._context.execute_async_v3(self._memory.stream):
            raise EngineError("the engine did not start (execute_async_v3)")
        for spec in self._outputs:
            self._memory.download(self._bytes(spec), self._buffers[spec.name].address)

    def _reshape(self, shape: Shape) -> None:
        if self._graph is not None:
            raise EngineError(f"recorded for {self._shapes[self._input.name]}, not for {shape}")
        self._shapes = {}  # whatever fails below, nothing is set
        if not self._context.set_input_shape(self._input.name, shape):
            raise EngineError(f"the engine does not take {self._input.name} of shape {shape}")
        shapes = {self._input.name: shape}
        for spec in self._outputs:
            shapes[spec.name] = tuple(self._context.get_tensor_shape(spec.name))
            if min(shapes[spec.name], default=1) < 0:
                raise EngineError(
                    f"the size of output '{spec.name}' depends on the data (NMS in the graph?), which "
                    "is not supported; export without --nms"
                )
        for spec in (self._input, *self._outputs):
            self._reserve(spec, shapes[spec.name])
        self._shapes = shapes

    def _reserve(self, spec: TensorSpec, shape: Shape) -> None:
        size = int(np.prod(shape)) * np.dtype(spec.dtype).itemsize
        if spec.name in self._buffers and self._buffers[spec.name].host.size >= size:
            return
        if spec.name in self._buffers:
            self._free(spec.name)
        address = self._memory.allocate(size)
        try:
            self._buffers[spec.name] = _Buffer(address, self._memory.pinned(size))
        except BaseException:  # memory that is never swapped out is scarcer
            self._memory.free(address)
            raise
        if not self._context.set_tensor_address(spec.name, self._buffers[spec.name].address):
            raise EngineError(f"the engine does not take the memory of '{spec.name}'")

    def _free(self, name: str) -> None:
        buffer = self._buffers.pop(name)
        self._memory.free(buffer.address)
        self._memory.release(buffer.host)

    def _bytes(self, spec: TensorSpec) -> Array:
        size = int(np.prod(self._shapes[spec.name])) * np.dtype(spec.dtype).itemsize
        return self._buffers[spec.name].host[:size]

    def _view(self, spec: TensorSpec) -> Array:
        return self._bytes(spec).view(spec.dtype).reshape(self._shapes[spec.name])
