"""A stand-in for TensorRT: an engine that computes with numpy, and files that look like one's."""

from __future__ import annotations

import weakref
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from fake_cuda import FakeCuda

from rtmpose_sdk.runtimes.tensorrt import TensorRtRuntime

VERSION = (10, 13, 3, 9)


def network(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the stand-in engine computes."""
    pixels = image.astype(np.float32).reshape(len(image), 4, 9)
    return pixels[:, :2, :6] * 2, pixels[:, 2:, :] - 1


class FakeContext:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt, self.shape, self.addresses = trt, (), {}
        self.runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if self.trt.unknown_size:
            return (self.shape[0], -1, 4)
        return (self.shape[0], 2, {"simcc_x": 6, "simcc_y": 9}[name])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 77
        cuda, addresses, shape = self.trt.cuda, dict(self.addresses), self.shape
        assert cuda.contexts, "no device is current in this thread"
        self.runs += 1
        if self.trt.fails or (cuda.recording is not None and self.trt.fails_recording):
            self.trt.logger.log(1, "[executionContext.cpp::enqueueInternal] Cuda Runtime (out of memory)")
            return False

        def step() -> None:
            size = int(np.prod(shape))
            image = cuda.block(addresses["image"])[:size].reshape(shape)
            for name, value in zip(("simcc_x", "simcc_y"), network(image), strict=True):
                data = np.ascontiguousarray(value).view(np.uint8).ravel()
                cuda.block(addresses[name])[: data.size] = data

        cuda.add(step)
        return True


class FakeTensorRt(ModuleType):
    """TensorRT 10 as far as the runtime uses it; "rtx" adds what only TensorRT for RTX has."""

    class ILogger:
        class Severity:
            INTERNAL_ERROR, ERROR = 0, 1

    TensorIOMode = SimpleNamespace(INPUT=1, OUTPUT=2)
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")
    EngineValidity = SimpleNamespace(VALID=0, SUBOPTIMAL=1, INVALID=2)
    ComputeCapability = SimpleNamespace(__members__={"NONE": 0, "SM75": 75, "SM86": 86, "CURRENT": -1})
    EngineInvalidityDiagnostics = SimpleNamespace(__members__={"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2})

    def __init__(self, cuda: FakeCuda, version: str = "10.13.3.9", rtx: bool = False) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.cuda, self.rtx = cuda, rtx
        self.contexts: list[FakeContext] = []
        self.configs: list[SimpleNamespace] = []
        self.unknown_size = self.fails = self.fails_recording = self.full = False
        self.validity = (0, 0)
        self.starts = True
        self.kept: weakref.ref[Any] | None = None

    @property
    def logger(self) -> Any:
        logger = self.kept()
        assert logger is not None, "the memory of a logger that is gone"
        return logger

    def nptype(self, kind: type) -> type:
        return kind

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        if self.kept is None:  # whatever is made later has the same logger
            self.kept = weakref.ref(logger)
        if not self.starts:
            self.logger.log(1, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize(data: bytes) -> Any:
            if b"damaged" in data:
                logger.log(1, "Serialization assertion\n failed")
                return None
            return self._engine()

        runtime = SimpleNamespace(deserialize_cuda_engine=deserialize)
        if self.rtx:
            runtime.get_engine_validity = lambda data: self.validity
        return runtime

    def _engine(self) -> Any:
        names = ["image", "simcc_x", "simcc_y"]
        shapes = {"image": (-1, 4, 3, 3), "simcc_x": (-1, 2, 6), "simcc_y": (-1, 2, 9)}

        def context(config: Any = None) -> FakeContext | None:
            if self.full:
                return None
            self.contexts.append(FakeContext(self))
            self.configs.append(config)
            return self.contexts[-1]

        return SimpleNamespace(
            name="rtmpose-t fp16",
            num_io_tensors=3,
            get_tensor_name=lambda i: names[i],
            get_tensor_mode=lambda n: 1 if n == "image" else 2,
            get_tensor_dtype=lambda n: np.uint8 if n == "image" else np.float32,
            get_tensor_shape=lambda n: shapes[n],
            get_tensor_profile_shape=lambda n, i: [(b, 4, 3, 3) for b in (1, 2, 12)],
            create_execution_context=context,
            create_runtime_config=SimpleNamespace,
        )


def engine_file(
    path: Path, tag: bytes = b"ftrt", version: tuple[int, ...] = VERSION, body: bytes = b""
) -> Path:
    size = 64 + len(body)
    head = tag + bytes(12) + size.to_bytes(8, "little") + bytes(version)
    path.write_bytes(head.ljust(64, b"\0") + body)
    return path


def images(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, 4, 3, 3)).astype(np.uint8)


def check(runtime: TensorRtRuntime, batch: int, seed: int) -> tuple[np.ndarray, ...]:
    image = images(batch, seed)
    outputs = runtime.run(image)
    for got, want in zip(outputs, network(image), strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.float32
    return outputs
