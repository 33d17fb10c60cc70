"""TensorRT with PyCUDA, as on a Jetson, computes the same and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import FakeTensorRt, check, engine_file, images

from rtmpose_sdk.errors import EngineError
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.runtimes.tensorrt import TensorRtRuntime


class FakePyCuda(ModuleType):
    """`pycuda.driver` over the same memory."""

    class Error(Exception):
        pass

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("pycuda.driver")
        self.cuda, self.depth = cuda, 0
        outer = self

        class Device:
            def __init__(self, number: int) -> None: ...
            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "Orin"

            def compute_capability(self) -> tuple[int, int]:
                return (8, 7)

            def retain_primary_context(self) -> Any:
                return SimpleNamespace(push=outer._push)

        class Event:
            def __init__(self) -> None:
                _, self.number = cuda.cudaEventCreate()

            def record(self, stream: Any) -> None:
                cuda.cudaEventRecord(self.number, stream.handle)

            def synchronize(self) -> None:
                cuda.cudaEventSynchronize(self.number)

            def time_till(self, last: Any) -> float:
                return cuda.cudaEventElapsedTime(self.number, last.number)[1]

        self.Device, self.Event = Device, Event
        self.Context = SimpleNamespace(pop=self._pop)

    def _push(self) -> None:
        self.depth += 1
        self.cuda.contexts.append(1000)

    def _pop(self) -> None:
        self.depth -= 1
        self.cuda.contexts.pop()

    def init(self) -> None: ...

    def Stream(self) -> Any:  # noqa: N802
        assert self.depth == 1
        return SimpleNamespace(handle=77, synchronize=lambda: self.cuda.cudaStreamSynchronize(77))

    def mem_alloc(self, size: int) -> Any:
        assert self.depth == 1
        if size > self.cuda.device_bytes:
            raise self.Error("cuMemAlloc failed: out of memory")
        _, address = self.cuda.cudaMalloc(size)

        class Allocation(int):
            def free(self) -> None:
                fake.cudaFree(int(self))

        fake = self.cuda
        return Allocation(address)

    def pagelocked_empty(self, size: int, dtype: type) -> np.ndarray:
        return np.empty(size, dtype)

    def memcpy_htod_async(self, address: int, host: np.ndarray, stream: Any) -> None:
        target = self.cuda.block(address)
        self.cuda.add(lambda: target.__setitem__(slice(host.size), host))

    def memcpy_dtoh_async(self, host: np.ndarray, address: int, stream: Any) -> None:
        source = self.cuda.block(address)
        self.cuda.add(lambda: host.__setitem__(slice(None), source[: host.size]))


def test_pycuda_where_only_that_is_there(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pycuda = FakePyCuda(cuda)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda)
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        assert runtime.metadata["gpu"] == "Orin (sm87)"
        assert not runtime.records
        for seed, batch in enumerate((2, 2, 2, 5, 1, 12)):
            check(runtime, batch, seed)
        assert runtime.by_events(np.zeros((2, 4, 3, 3), np.uint8))() == pytest.approx(0.004)
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as runtime:
        cuda.device_bytes = 0
        with pytest.raises(
            EngineError, match=r"^t\.engine: CUDA: failed on cuda:0: cuMemAlloc failed: out of memory$"
        ):
            runtime.run(images(3))
    assert not cuda.live
    assert pycuda.depth == 0
