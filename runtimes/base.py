"""The contract of every engine: what a Runtime is, and the checks that hold for all of them.

A runtime is a context manager around one loaded model. What was asked for is what runs, or an error
says what is missing: never a quiet fall back to another device or precision.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import DeviceError, EngineError, InputError, ModelFileError
from rtmpose_sdk.values import is_whole

Array = NDArray[Any]
AS_IN_GRAPH = "as in the graph"
"""Arithmetic of an engine that takes every tensor's type from the file."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: name, numpy dtype name, shape with None where it is dynamic."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ",".join("N" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype} ({dims})"


class Device(NamedTuple):
    """A parsed device: kind ("cpu", "cuda", ...) and number among those of its kind."""

    kind: str
    number: int

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.number}"


def parse_device(text: str, kinds: tuple[str, ...]) -> Device:
    """Read a device: "cuda:1" → Device("cuda", 1).

    Raises:
        DeviceError: not one of `kinds`, or an index that is not a number.
    """
    if not isinstance(text, str):
        raise DeviceError(f"device is {text!r}; expected text: {', '.join(kinds)}, or 'cuda:1'")
    kind, _, index = text.partition(":")
    if kind not in kinds or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise DeviceError(
            f"unknown device '{text}'; expected one of {', '.join(kinds)}, "
            f"with an index for several of a kind ('{kinds[:2][-1]}:1')"
        )
    return Device(kind, int(index or 0))


MOST_THREADS = 256
"""A slip of the keyboard must not start a hundred thousand."""


def allowed_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that cannot be, or that no machine has use for.

    Raises:
        InputError: neither None nor a whole number from 1 to `MOST_THREADS` (or this machine's cores).
    """
    if threads is not None and not is_whole(threads, 1):
        raise InputError(f"threads is {threads!r}; expected at least 1, or None for all cores")
    if threads is not None and threads > max(MOST_THREADS, allowed_cores()):
        raise InputError(
            f"threads is {threads}; expected at most {MOST_THREADS}, better at most the "
            f"{allowed_cores()} cores that are allowed here"
        )


def joined(parts: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    """Outputs of a batch that was run in parts."""
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(v) for v in zip(*parts, strict=True))


class Runtime(Closing, ABC):
    """A model file, loaded by an engine on a device.

    Attributes:
        path: the model file.
        device: where it really runs.
        threads: number of threads that the engine really uses for one run.
        precision: one of `precisions` as it was asked for; None where nothing was, which means what the
            file says, else fp32. ncnn alone names it even then.
        arithmetic: what it really computes in, "fp32" or "bf16 by autocast"; `AS_IN_GRAPH` where every
            tensor's type is in the file and the engine follows it.
        engine: engine and version, "onnxruntime 1.23.0".
        inputs, outputs: specs in order.
        smallest_batch, largest_batch: what `run` takes at once; None is any.
        another_precision: what to do for one that is not in the file, where the engine has no `precisions`.
        metadata: text entries that the artifact carries (the model card is one of them).
    """

    device_kinds: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ()
    another_precision: str = "export the model again: rtmpose-export --precision"
    smallest_batch: int = 1
    largest_batch: int | None = None

    def __init__(
        self, path: Path, device: str, *, threads: int | None = None, precision: str | None = None
    ) -> None:
        if not isinstance(path, Path):
            raise InputError(f"path is {path!r}; expected a pathlib.Path")
        if not path.is_file():
            raise ModelFileError(f"{path} is not a file; expected a model file")
        check_threads(threads)
        if precision is not None and precision not in self.precisions:
            able = (
                f"expected {', '.join(self.precisions)}, or none: then the artifact says it"
                if self.precisions
                else f"its precision is in the file. Leave it out, or {self.another_precision}"
            )
            raise DeviceError(
                f"{type(self).__name__} cannot run {path.name} in precision '{precision}': {able}"
            )
        self.path = path
        try:
            self.device = parse_device(device, self.device_kinds)
        except DeviceError as error:
            raise DeviceError(f"{path.name}: {error}") from None
        self.threads = threads or allowed_cores()
        self.precision = precision
        self.arithmetic = AS_IN_GRAPH
        self.engine = ""
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.metadata: Mapping[str, str] = {}
        self._open = False
        self._activate()
        self._open = True

    @abstractmethod
    def _activate(self) -> None:
        """Load the model; set engine, inputs, outputs, metadata and what is really used."""

    @abstractmethod
    def _infer(self, array: Array) -> tuple[Array, ...]:
        """Outputs in order for an input that was checked."""

    @abstractmethod
    def _deactivate(self) -> None:
        """Free what the engine holds."""

    def run(self, array: Array) -> tuple[Array, ...]:
        """Run the network once.

        Args:
            array: what `inputs[0]` says: its dtype, its shape.

        Returns:
            One array for each of `outputs`.

        Raises:
            InputError: another dtype or shape.
            EngineError: closed, or the engine failed.
        """
        if not self._open:
            raise EngineError(f"{self.path.name}: the runtime was closed; open it again")
        spec = self.inputs[0]
        if not isinstance(array, np.ndarray):
            raise InputError(f"{self.path.name} takes an array, {spec}; given {type(array).__name__}")
        if (
            array.dtype.name != spec.dtype
            or array.ndim != len(spec.shape)
            or any(want not in (None, got) for want, got in zip(spec.shape, array.shape, strict=True))
        ):
            raise InputError(f"{self.path.name} takes {spec}; given {array.dtype.name} {array.shape}")
        return self._infer(np.ascontiguousarray(array))

    def bare(self, array: Array) -> Callable[[], object]:
        """The engine's own call on one input, with nothing of the SDK around it: for benchmarks."""
        return lambda: self._infer(array)

    def by_events(self, array: Array) -> Callable[[], float] | None:
        """One call of the engine on one input that gives the s it took by the device's own events.

        They hold all that the device does for a call: input up, network, outputs down. None where the
        device or the engine has no events, as on a CPU.
        """
        return None

    def close(self) -> None:
        """Free what the engine holds. Closing twice is no error."""
        if self._open:
            self._open = False
            self._deactivate()

    def __repr__(self) -> str:
        return (
            f"<{self.path.name} on {self.engine}, {self.device}, {self.threads} threads, "
            f"{self.arithmetic}: "
            f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}>"
        )
