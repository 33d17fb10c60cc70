"""CUDA through `pycuda`, which images for Jetson bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rtmpose_sdk.errors import EngineError
from rtmpose_sdk.runtimes.base import Array
from rtmpose_sdk.runtimes.cuda_memory import CudaMemory, no_device

_NO_GRAPHS = "graphs are recorded with cuda-python only"


class PyCuda(CudaMemory):
    """`pycuda.driver`, which images for Jetson bring; without graphs."""

    captures = False

    def __init__(self, cuda: Any, number: int) -> None:
        self._cuda, self._number = cuda, number
        try:
            cuda.init()
            count = cuda.Device.count()
            if number >= count:
                raise no_device(number, f"this machine has {count} GPUs")
            device = cuda.Device(number)
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise no_device(number, str(error)) from None
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
