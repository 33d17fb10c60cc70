"""CUDA through NVIDIA's own binding, the package `cuda-python`."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rtmpose_sdk.errors import EngineError
from rtmpose_sdk.runtimes.base import Array
from rtmpose_sdk.runtimes.cuda_memory import CudaMemory, no_device

_INSUFFICIENT_DRIVER = 35
"""`cudaErrorInsufficientDriver`: no driver, or one that is older than the CUDA of the binding."""


class CudaPython(CudaMemory):
    """NVIDIA's own binding, `cuda.bindings`: every call gives an error code and its results."""

    captures = True

    def __init__(self, cuda: Any, number: int) -> None:
        self._cuda, self._number = cuda, number
        error, count = cuda.cudaGetDeviceCount()
        if int(error) or not count:
            raise no_device(number, self._no_gpu(error) if int(error) else "there is no GPU")
        if number >= count:
            raise no_device(number, f"this machine has {count} (cuda:0 to cuda:{count - 1})")
        self._driver = importlib.import_module("cuda.bindings.driver")
        self._call("cuInit", 0)
        # Never released, as CUDA's own runtime does it: TensorRT keeps what belongs to this context.
        self._context = self._call("cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", number))
        with self.current():
            properties = self._call("cudaGetDeviceProperties", number)
            self.gpu = f"{_string(properties.name)} (sm{properties.major}{properties.minor})"
            self._stream = self._call("cudaStreamCreateWithFlags", cuda.cudaStreamNonBlocking)
            self.stream = int(self._stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def allocate(self, size: int) -> int:
        return int(self._call("cudaMalloc", size))

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def pinned(self, size: int) -> Array:
        address = int(self._call("cudaHostAlloc", size, self._cuda.cudaHostAllocDefault))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def release(self, host: Array) -> None:
        self._call("cudaFreeHost", host.ctypes.data)

    def upload(self, address: int, host: Array) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, host.ctypes.data, host.nbytes, kind, self._stream)

    def download(self, host: Array, address: int) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", host.ctypes.data, address, host.nbytes, kind, self._stream)

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self._stream)

    def timed(self, queue: Callable[[], None]) -> float:
        first, last = self._call("cudaEventCreate"), self._call("cudaEventCreate")
        try:
            self._call("cudaEventRecord", first, self._stream)
            queue()
            self._call("cudaEventRecord", last, self._stream)
            self._call("cudaEventSynchronize", last)
            return float(self._call("cudaEventElapsedTime", first, last)) / 1000
        finally:
            for event in (first, last):
                self._call("cudaEventDestroy", event)

    def begin_capture(self) -> None:
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)

    def end_capture(self) -> Any:
        recorded = self._call("cudaStreamEndCapture", self._stream)
        graph = self._call("cudaGraphInstantiate", recorded, 0)
        self._call("cudaGraphDestroy", recorded)
        return graph

    def launch(self, graph: Any) -> None:
        self._call("cudaGraphLaunch", graph, self._stream)

    def drop(self, graph: Any) -> None:
        self._call("cudaGraphExecDestroy", graph)

    def close(self) -> None:
        self._call("cudaStreamDestroy", self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        of_runtime = name.startswith("cuda")
        library = self._cuda if of_runtime else self._driver
        error, *results = getattr(library, name)(*arguments)
        if int(error):
            explain = library.cudaGetErrorString if of_runtime else library.cuGetErrorString
            why = _string(explain(error)[1])
            raise EngineError(f"CUDA: {name} failed on cuda:{self._number}: {why}")
        return results[0] if results else None

    def _no_gpu(self, error: Any) -> str:
        """Why there is none; the driver may only be older than this cuda-python, on a Jetson above all."""
        text = _string(self._cuda.cudaGetErrorString(error)[1])
        if int(error) != _INSUFFICIENT_DRIVER:
            return text
        own = self._call("cudaRuntimeGetVersion") // 1000
        return (
            f"{text} (there is no driver, or one older than CUDA {own}, which cuda-python is of here: "
            f"update it, or pip install 'cuda-python<{own}')"
        )


def _string(text: bytes | str) -> str:
    return text.decode(errors="replace").rstrip("\0") if isinstance(text, bytes) else text
