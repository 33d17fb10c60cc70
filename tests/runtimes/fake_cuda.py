"""A stand-in for CUDA on host memory.

It behaves as the real one where it matters: calls on a stream run when it is waited for, memory has
borders, a recorded graph replays the addresses and shapes that it was recorded with.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

BORDER = 16


class FakeCuda(ModuleType):
    """`cuda.bindings.runtime` on host memory, and `cuda.bindings.driver`; keeps each thread's contexts."""

    cudaStreamNonBlocking = 1  # noqa: N815 - CUDA's names
    cudaHostAllocDefault = 0  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self, count: int = 1, count_error: int = 0) -> None:
        super().__init__("cuda.bindings.runtime")
        self.count, self.count_error = count, count_error
        self.threads: dict[int, list[int]] = {}
        self.device_bytes = self.host_bytes = 1 << 30
        self.live: dict[int, np.ndarray] = {}
        self.allocations = 0
        self.pinned: set[int] = set()
        self.queue: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.graphs: set[int] = set()
        self.streams = 0
        self.done = 0
        self.events: dict[int, int] = {}

    @property
    def contexts(self) -> list[int]:
        """Of this thread; the last one is current."""
        return self.threads.setdefault(threading.get_ident(), [])

    def cuInit(self, flags: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuDeviceGet(self, number: int) -> tuple[int, int]:  # noqa: N802
        assert number < self.count
        return 0, number

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[int, int]:  # noqa: N802
        return 0, 1000 + device

    def cuCtxPushCurrent(self, context: int) -> tuple[int]:  # noqa: N802
        self.contexts.append(context)
        return (0,)

    def cuCtxPopCurrent(self) -> tuple[int, int]:  # noqa: N802
        return 0, self.contexts.pop()

    def add(self, step: Callable[[], None]) -> None:
        (self.queue if self.recording is None else self.recording).append(step)

    def block(self, address: int) -> np.ndarray:
        """The memory behind an address that was given out."""
        return self.live[address][BORDER:-BORDER]

    def cudaGetDeviceCount(self) -> tuple[int, int | None]:  # noqa: N802
        return self.count_error, None if self.count_error else self.count

    def cudaGetErrorString(self, error: int) -> tuple[int, bytes]:  # noqa: N802
        text = {
            2: b"out of memory",
            35: b"CUDA driver version is insufficient for CUDA runtime version",
            100: b"no CUDA-capable device is detected",
        }
        return 0, text[error]

    def cudaRuntimeGetVersion(self) -> tuple[int, int]:  # noqa: N802
        return 0, 13040

    def cudaSetDevice(self, number: int) -> tuple[int]:  # noqa: N802
        assert number < self.count
        self.contexts[-1:] = [1000 + number]
        return (0,)

    def cudaGetDeviceProperties(self, number: int) -> tuple[int, Any]:  # noqa: N802
        return 0, SimpleNamespace(name=b"GeForce GTX 1660 Ti\0\0", major=7, minor=5)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:  # noqa: N802
        self.streams += 1
        return 0, 77

    def cudaStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802
        self.streams -= 1
        return (0,)

    def cudaMalloc(self, size: int) -> tuple[int, int | None]:  # noqa: N802
        assert self.contexts, "no device is current in this thread"
        return (2, None) if size > self.device_bytes else self._allocate(size)

    def _allocate(self, size: int) -> tuple[int, int]:
        block = np.full(size + 2 * BORDER, 0xA5, np.uint8)
        self.live[block.ctypes.data + BORDER] = block
        self.allocations += 1
        return 0, block.ctypes.data + BORDER

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[int, int | None]:  # noqa: N802
        if size > self.host_bytes:
            return 2, None
        error, address = self._allocate(size)
        self.pinned.add(address)
        return error, address

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        assert address not in self.pinned, "memory of the host, freed as the device's"
        return self._free(address)

    def cudaFreeHost(self, address: int) -> tuple[int]:  # noqa: N802
        self.pinned.remove(address)
        return self._free(address)

    def _free(self, address: int) -> tuple[int]:
        assert self.contexts, "no device is current in this thread"
        block = self.live.pop(address)
        assert (block[:BORDER] == 0xA5).all()
        assert (block[-BORDER:] == 0xA5).all()
        return (0,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802
        for address in (target, source):
            assert any(
                start <= address and address + size <= start + len(block) - 2 * BORDER
                for start, block in self.live.items()
            )
        self.add(lambda: ctypes.memmove(target, source, size) and None)
        return (0,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        assert self.recording is None, "waiting is not allowed while recording"
        while self.queue:
            self.queue.pop(0)()
            self.done += 1  # every step takes a ms
        return (0,)

    def cudaEventCreate(self) -> tuple[int, int]:  # noqa: N802
        event = 1 + max(self.events, default=0)
        self.events[event] = -1
        return 0, event

    def cudaEventRecord(self, event: int, stream: int) -> tuple[int]:  # noqa: N802
        assert stream == 77

        def step() -> None:
            self.events[event] = self.done
            self.done -= 1

        self.add(step)
        return (0,)

    def cudaEventSynchronize(self, event: int) -> tuple[int]:  # noqa: N802
        return self.cudaStreamSynchronize(77)

    def cudaEventElapsedTime(self, first: int, last: int) -> tuple[int, float]:  # noqa: N802
        assert min(self.events[first], self.events[last]) >= 0
        return 0, float(self.events[last] - self.events[first])

    def cudaEventDestroy(self, event: int) -> tuple[int]:  # noqa: N802
        del self.events[event]
        return (0,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:  # noqa: N802
        assert not self.queue, "a shape is run and waited for before it is recorded"
        self.recording = []
        return (0,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[int, Any]:  # noqa: N802
        recorded, self.recording = self.recording, None
        self.graphs.add(id(recorded))
        return 0, recorded

    def cudaGraphInstantiate(self, graph: list, flags: int) -> tuple[int, Any]:  # noqa: N802
        self.graphs.add(-id(graph))
        return 0, graph

    def cudaGraphDestroy(self, graph: list) -> tuple[int]:  # noqa: N802
        self.graphs.remove(id(graph))
        return (0,)

    def cudaGraphExecDestroy(self, graph: list) -> tuple[int]:  # noqa: N802
        self.graphs.remove(-id(graph))
        return (0,)

    def cudaGraphLaunch(self, graph: list, stream: int) -> tuple[int]:  # noqa: N802
        self.queue.extend(graph)
        return (0,)


def _installed(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    for name in ("runtime", "driver"):
        monkeypatch.setitem(sys.modules, f"cuda.bindings.{name}", fake)
    return fake
