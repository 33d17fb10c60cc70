"""Memory and a stream on a CUDA device, whatever binding they come through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from rtmpose_sdk.errors import DeviceError
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


def no_device(number: int, why: str) -> DeviceError:
    """The error of a device that cannot be had."""
    return DeviceError(
        f"device 'cuda:{number}' cannot be had: {why}. TensorRT engines run on NVIDIA GPUs only (see "
        "nvidia-smi); on a CPU run the ONNX file"
    )
