"""Engine files of TensorRT 10, TensorRT 11 and TensorRT for RTX, on NVIDIA GPUs."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rtmpose_sdk.errors import DeviceError, EngineError, InputError, ModelFileError, RTMPoseWarning
from rtmpose_sdk.runtimes.base import Array, Runtime, TensorSpec
from rtmpose_sdk.runtimes.cuda import open_cuda
from rtmpose_sdk.runtimes.engine_file import EngineHeader, read_engine_header
from rtmpose_sdk.runtimes.tensorrt_execution import Execution, Shape
from rtmpose_sdk.runtimes.tensorrt_module import TITLES, load_tensorrt, message_logger, said

MAX_GRAPHS = 8
"""Shapes that get a recorded graph; each has an execution context, with memory, of its own."""
_REBUILD = "Build it again here: rtmpose-export --backend tensorrt"


class TensorRtRuntime(Runtime):
    """An engine file. The precision is in the file.

    The second run of a shape records it as a CUDA graph, for the first `MAX_GRAPHS` shapes. TensorRT for
    RTX records by itself (its kernels change while it learns shapes), so it is told to and left alone.

    Attributes:
        batches: smallest, most usual and largest batch of the engine's profile.
        records: True where runs become CUDA graphs.
    """

    device_kinds = ("cuda",)

    def _activate(self) -> None:
        header = read_engine_header(self.path)
        self._trt = load_tensorrt(header.flavour, f"Running {self.path.name}")
        self.engine = f"{header.flavour} {self._trt.__version__}"
        self._check_version(header)
        self._logger, self._errors = message_logger(self._trt)
        self._memory = open_cuda(self.device.number, header.flavour)
        self.threads = 1
        self._process = os.getpid()
        self._turn = threading.Lock()  # a context and its buffers serve one call at a time
        self._plain: Execution | None = None
        self._recorded: dict[Shape, Execution] = {}
        self._seen: Counter[Shape] = Counter()
        try:
            with self._on_device():
                self._load(header)
        except BaseException:
            self._deactivate()
            raise

    def _check_version(self, header: EngineHeader) -> None:
        installed = ".".join(self._trt.__version__.split(".")[:3])
        built = ".".join(header.version.split(".")[:3])
        if installed != built:
            raise ModelFileError(
                f"{self.path}: was built by {TITLES[header.flavour]} {header.version}, and "
                f"{self._trt.__version__} is installed; an engine runs only with the version that built it."
                f" {_REBUILD}, or install {header.version}"
            )

    def _load(self, header: EngineHeader) -> None:
        trt = self._trt
        try:
            self._runtime: Any = trt.Runtime(self._logger)
        except TypeError:  # how pybind reports a null pointer
            raise EngineError(f"{self.engine} cannot start on {self._memory.gpu}") from None
        data = self.path.read_bytes()
        if hasattr(self._runtime, "get_engine_validity"):  # TensorRT for RTX
            self._check_validity(data)
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise ModelFileError(
                f"{self.path}: {self.engine} cannot load it on {self._memory.gpu}: {said(self._errors)}. "
                f"The file is damaged, or was built for another GPU. {_REBUILD}"
            )
        self._cuda_engine = engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self.inputs = tuple(self._spec(name) for name in inputs)
        self.outputs = tuple(self._spec(name) for name in names if name not in inputs)
        if len(inputs) != 1:
            raise ModelFileError(f"{self.path}: has inputs {', '.join(inputs)}; expected one")
        self._limits = [tuple(shape) for shape in engine.get_tensor_profile_shape(inputs[0], 0)]
        smallest, usual, largest = (shape[0] for shape in self._limits)
        self.batches = (smallest, usual, largest)
        self.smallest_batch, self.largest_batch = smallest, largest
        self.metadata = {"engine": engine.name, "gpu": self._memory.gpu}
        self.records = header.flavour == "tensorrt-rtx" or self._memory.captures
        self._records_itself = header.flavour == "tensorrt-rtx"
        self._plain = self._execution()

    def _check_validity(self, data: bytes) -> None:
        trt = self._trt
        validity, diagnostics = self._runtime.get_engine_validity(data)
        if validity == trt.EngineValidity.VALID:
            return
        reasons = [
            name
            for name, flag in trt.EngineInvalidityDiagnostics.__members__.items()
            if int(flag) & int(diagnostics)
        ]
        told = ", ".join(reasons) or said(self._errors)
        if validity == trt.EngineValidity.SUBOPTIMAL:
            warnings.warn(
                f"{self.path} will be slower than it could be on {self._memory.gpu} ({told})",
                RTMPoseWarning,
                stacklevel=2,
            )
        elif "UNSUPPORTED_CC" in reasons:
            raise DeviceError(f"{self.path} was not built for {self._memory.gpu}. {self._target_advice()}")
        else:
            raise ModelFileError(
                f"{self.path}: {self.engine} refuses it on {self._memory.gpu}: {told}. {_REBUILD}, or "
                "update the driver where that is too old"
            )

    def _target_advice(self) -> str:
        """What to build for a GPU; TensorRT for RTX leaves out those of data centres."""
        targets = [n.lower() for n in self._trt.ComputeCapability.__members__ if n.startswith("SM")]
        own = next((target for target in targets if f"({target})" in self._memory.gpu), None)
        if own is not None:
            return f"{_REBUILD} --target {own}"
        return (
            f"{self.engine} builds for {', '.join(targets)} only: export for TensorRT, or to ONNX or "
            "torch, which run on this GPU"
        )

    def _spec(self, name: str) -> TensorSpec:
        engine = self._cuda_engine
        try:
            dtype = np.dtype(self._trt.nptype(engine.get_tensor_dtype(name))).name
        except TypeError:
            raise ModelFileError(
                f"{self.path}: '{name}' is {engine.get_tensor_dtype(name)}, which numpy does not have"
            ) from None
        shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        return TensorSpec(name, dtype, shape)

    def _execution(self) -> Execution:
        engine = self._cuda_engine
        if self._records_itself:
            config = engine.create_runtime_config()
            config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context = engine.create_execution_context(config)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"no execution context; is {self._memory.gpu} out of memory?")
        return Execution(context, self._memory, self.inputs, self.outputs)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """One call at a time, on the engine's device; errors name the file, and what the engine said."""
        with self._turn:
            self._errors.clear()
            try:
                with self._memory.current():
                    yield
            except EngineError as error:
                raise EngineError(f"{self.path.name}: {self._explained(error)}") from None

    def _explained(self, error: EngineError) -> str:
        return f"{error}: {said(self._errors)}" if self._errors else str(error)

    def _infer(self, array: Array) -> tuple[Array, ...]:
        self._check_profile(array.shape)
        with self._on_device():
            return self._run(array)

    def by_events(self, array: Array) -> Callable[[], float]:
        """CUDA events around copies and network; of a recorded graph where the shape has one."""
        self._check_profile(array.shape)

        def call() -> float:
            with self._on_device():
                execution = self._recorded.get(array.shape, self._plain)
                assert execution is not None
                return execution.by_events(array)

        return call

    def _check_profile(self, shape: Shape) -> None:
        low, _, high = self._limits
        if any(not a <= size <= b for a, size, b in zip(low, shape, high, strict=True)):
            smallest, usual, largest = self.batches
            raise InputError(
                f"{self.path.name} was built for batches of {smallest} to {largest} (profile "
                f"{smallest}:{usual}:{largest}); given {shape[0]}, shape {shape}. Give fewer at once, or "
                f"export it with --batch {min(smallest, shape[0])}:{usual}:{max(largest, shape[0])}"
            )

    def _run(self, array: Array) -> tuple[Array, ...]:
        assert self._plain is not None
        shape = array.shape
        if shape in self._recorded:
            return self._recorded[shape].run(array)
        self._seen[shape] += 1
        if (
            self.records
            and not self._records_itself
            and self._seen[shape] == 2
            and len(self._recorded) < MAX_GRAPHS
        ):
            return self._record(array)
        return self._plain.run(array)

    def _record(self, array: Array) -> tuple[Array, ...]:
        """Run a shape on a context of its own, then record it there."""
        execution: Execution | None = None
        try:
            execution = self._execution()
            outputs = execution.run(array)
            execution.record()
        except EngineError as error:
            if execution is not None:
                execution.close()
            self.records = False
            warnings.warn(
                f"{self.path.name}: no CUDA graph can be recorded ({self._explained(error)}); kernels "
                "start one by one",
                RTMPoseWarning,
                stacklevel=6,
            )
            assert self._plain is not None
            return self._plain.run(array)
        self._recorded[array.shape] = execution
        return outputs

    def __del__(self) -> None:
        """Memory of CUDA is no object's: without this it stays until the process ends."""
        if getattr(self, "_open", False) and self._process == os.getpid() and not sys.is_finalizing():
            self.close()

    def _deactivate(self) -> None:
        with self._turn, self._memory.current():
            for execution in (*self._recorded.values(), *([self._plain] if self._plain else [])):
                execution.close()
            self._recorded.clear()
            self._plain = self._cuda_engine = self._runtime = None
            self._memory.close()
