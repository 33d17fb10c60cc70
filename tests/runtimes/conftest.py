"""What tests of TensorRT share: stand-ins, and an engine that is open and must leave nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.runtimes.tensorrt import TensorRtRuntime

sys.path.insert(0, str(Path(__file__).parent))

from fake_cuda import FakeCuda, _installed
from fake_tensorrt import FakeTensorRt, engine_file


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return _installed(FakeCuda(), monkeypatch)


@pytest.fixture
def trt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


@pytest.fixture
def runtime(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> Iterator[TensorRtRuntime]:
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as opened:
        assert isinstance(opened, TensorRtRuntime)
        yield opened
    assert not cuda.live, "memory is left"
    assert not cuda.graphs
    assert cuda.streams == 0
    assert not cuda.contexts
