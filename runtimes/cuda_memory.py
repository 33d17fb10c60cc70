"""Memory and a stream on a CUDA device, through `cuda-python` or, where only that is there, `pycuda`."""

from __future__ import annotations

import ctypes
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from rtmpose_sdk.errors import DeviceError, EngineError, MissingExtraError
from rtmpose_sdk.runtimes.base import Array


class CudaMemory(ABC):
    """One stream on one device, memory on it, and pinned memory that it copies from and to.

    Attributes:
        stream: handle of the stream, an address.
        gpu: name and compute capability, "NVIDIA GeForce GTX 1660 Ti (sm75)".
        captures: True where calls on the stream can be recorded into a graph.
    """

    stream: int
    gpu: str
    captures: bool

    @abstractmethod
    def current(self) -> AbstractContextManager[None]:
        """Within it the device is this thread's current one, as every other call needs it.

        Behind it the caller's is current again: other libraries (torch) work on the one that is.
        """

    @abstractmethod
    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device."""

    @abstractmethod
    def free(self, address: int) -> None:
        """Give memory of `allocate` back."""

    @abstractmethod
    def pinned(self, size: int) -> Array:
        """(size,) uint8 on the host, never swapped out: the device copies it without help."""

    @abstractmethod
    def release(self, host: Array) -> None:
        """Give memory of `pinned` back."""

    @abstractmethod
    def upload(self, address: int, host: Array) -> None:
        """Queue a copy host → device; `host` is contiguous and stays as it is until `synchronize`."""

    @abstractmethod
    def download(self, host: Array, address: int) -> None:
        """Queue a copy device → host."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all that was queued is done."""

    @abstractmethod
    def timed(self, queue: Callable[[], None]) -> float:
        """Wait for all that `queue` queues; s from its begin to its end by events on the stream."""

    @abstractmethod
    def begin_capture(self) -> None:
        """From here on calls are recorded, not run."""

    @abstractmethod
    def end_capture(self) -> Any:
        """What was recorded, ready to launch."""

    @abstractmethod
    def launch(self, graph: Any) -> None:
        """Queue a recorded graph."""

    @abstractmethod
    def drop(self, graph: Any) -> None:
        """Free a recorded graph."""

    @abstractmethod
    def close(self) -> None:
        """Free the stream."""


def open_cuda(number: int, extra: str) -> CudaMemory:
    """Memory on the device with this number.

    Args:
        number: of the device, from 0.
        extra: what to install when there is no binding.

    Raises:
        MissingExtraError: neither binding is installed.
        DeviceError: no such device, no driver, or one that is too old.
    """
    for package, kind in (("cuda.bindings.runtime", _CudaPython), ("pycuda.driver", _PyCuda)):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        return kind(module, number)
    raise MissingExtraError("cuda-python", extra, "Running a TensorRT engine")


_INSUFFICIENT_DRIVER = 35
"""`cudaErrorInsufficientDriver`: no driver, or one that is older than the CUDA of the binding."""


def _no_device(number: int, why: str) -> DeviceError:
    return DeviceError(
        f"device 'cuda:{number}' cannot be had: {why}. TensorRT engines run on NVIDIA GPUs only (see "
        "nvidia-smi); on a CPU run the ONNX file"
    )


class _CudaPython(CudaMemory):
    """NVIDIA's own binding, `cuda.bindings`: every call gives an error code and its results."""

    captures = True

    def __init__(self, cuda: Any, number: int) -> None:
        self._cuda, self._number = cuda, number
        error, count = cuda.cudaGetDeviceCount()
        if int(error) or not count:
            raise _no_device(number, self._no_gpu(error) if int(error) else "there is no GPU")
        if number >= count:
            raise _no_device(number, f"this machine has {count} (cuda:0 to cuda:{count - 1})")
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


_NO_GRAPHS = "graphs are recorded with cuda-python only"


class _PyCuda(CudaMemory):
    """`pycuda.driver`, which images for Jetson bring; without graphs."""

    captures = False

    def __init__(self, cuda: Any, number: int) -> None:
        self._cuda, self._number = cuda, number
        try:
            cuda.init()
            count = cuda.Device.count()
            if number >= count:
                raise _no_device(number, f"this machine has {count} GPUs")
            device = cuda.Device(number)
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise _no_device(number, str(error)) from None
        self._allocations: dict[int, Any] = {}
        self.gpu = f"{device.name()} (sm{''.join(map(str, device.compute_capability()))})"
        with self.current():
            self._stream = cuda.Stream()
            self.stream = int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        try:
            self._context.push()
            try:
                yield
            finally:
                self._cuda.Context.pop()
        except self._cuda.Error as error:
            raise EngineError(f"CUDA: failed on cuda:{self._number}: {error}") from None

    def allocate(self, size: int) -> int:
        allocation = self._cuda.mem_alloc(size)
        self._allocations[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        self._allocations.pop(address).free()

    def pinned(self, size: int) -> Array:
        host: Array = self._cuda.pagelocked_empty(size, np.uint8)
        return host

    def release(self, host: Array) -> None:
        """Freed with the array."""

    def upload(self, address: int, host: Array) -> None:
        self._cuda.memcpy_htod_async(address, host, self._stream)

    def download(self, host: Array, address: int) -> None:
        self._cuda.memcpy_dtoh_async(host, address, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def timed(self, queue: Callable[[], None]) -> float:
        first, last = self._cuda.Event(), self._cuda.Event()
        first.record(self._stream)
        queue()
        last.record(self._stream)
        last.synchronize()
        return float(first.time_till(last)) / 1000

    def begin_capture(self) -> None:
        raise NotImplementedError(_NO_GRAPHS)

    def end_capture(self) -> Any:
        raise NotImplementedError(_NO_GRAPHS)

    def launch(self, graph: Any) -> None:
        raise NotImplementedError(_NO_GRAPHS)

    def drop(self, graph: Any) -> None:
        raise NotImplementedError(_NO_GRAPHS)

    def close(self) -> None:
        self._allocations.clear()
        self._stream = None
