"""What TensorRT cannot open or run is said: calls, memory, files, versions, GPUs, libraries."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import FakeTensorRt, check, engine_file, images

from rtmpose_sdk.errors import DeviceError, EngineError, InputError, MissingExtraError, ModelFileError
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.runtimes.tensorrt import TensorRtRuntime


@pytest.mark.parametrize("batch", [0, 13])
def test_a_batch_outside_the_profile(runtime: TensorRtRuntime, batch: int) -> None:
    with pytest.raises(
        InputError, match=rf"built for batches of 1 to 12 \(profile 1:2:12\); given {batch}.*--batch"
    ):
        runtime.run(images(batch))
    check(runtime, 2, 0)


def test_other_inputs_are_refused(runtime: TensorRtRuntime) -> None:
    with pytest.raises(InputError, match=r"takes image: uint8 \(N,4,3,3\)"):
        runtime.run(images(2).astype(np.float32))
    with pytest.raises(InputError, match="takes image"):
        runtime.run(images(2)[:, :3])


def test_an_engine_that_fails(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    check(runtime, 2, 0)
    trt.fails = True
    with pytest.raises(EngineError, match=r"^t\.engine: the engine did not start.*: .*\(out of memory\)$"):
        runtime.run(images(3))
    trt.fails = False
    check(runtime, 3, 1)
    runtime._errors.append("of another run")
    trt.fails = True
    with pytest.raises(
        EngineError, match=r"\(execute_async_v3\): \[exec\S+ Cuda Runtime \(out of memory\)$"
    ):
        runtime.run(images(4))
    trt.fails = False


def test_no_memory_for_a_context_of_its_own(
    runtime: TensorRtRuntime, trt: FakeTensorRt, cuda: FakeCuda
) -> None:
    """The second run of a shape would be recorded; it runs as the first one did, and that is said."""
    check(runtime, 2, 0)
    trt.full = True
    with pytest.warns(
        UserWarning, match=r"no CUDA graph can be recorded \(no execution context; is GeForce"
    ):
        check(runtime, 2, 1)
    check(runtime, 2, 2)


def test_an_engine_without_a_context_is_not_opened(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path
) -> None:
    trt.full = True
    with pytest.raises(
        EngineError, match=r"^t\.engine: no execution context; is GeForce .* out of memory\?$"
    ):
        open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")
    assert cuda.streams == 0


@pytest.mark.filterwarnings("ignore:.*no CUDA graph can be recorded")
@pytest.mark.parametrize(("scarce", "call"), [("device", "cudaMalloc"), ("host", "cudaHostAlloc")])
def test_no_memory(runtime: TensorRtRuntime, cuda: FakeCuda, scarce: str, call: str) -> None:
    """Nothing is left behind, and smaller batches run on."""
    check(runtime, 2, 0)
    setattr(cuda, f"{scarce}_bytes", 100)
    for _ in range(2):
        with pytest.raises(
            EngineError, match=rf"^t\.engine: CUDA: {call} failed on cuda:0: out of memory$"
        ):
            runtime.run(images(12))
        assert len(cuda.live) == 4  # of the two outputs
    check(runtime, 1, 1)


def test_what_went_wrong_is_told_after_another_engine_is_closed(
    trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path
) -> None:
    """TensorRT has one logger for all that is open: the first one."""
    first = open_runtime(engine_file(tmp_path / "d.engine"), device="cuda")
    with open_runtime(engine_file(tmp_path / "t.engine"), device="cuda") as second:
        first.close()
        del first
        gc.collect()
        trt.fails = True
        with pytest.raises(
            EngineError, match=r"^t\.engine: the engine did not start.*: .*\(out of memory\)$"
        ):
            second.run(images(2))


def test_a_library_that_does_not_start(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    """Where it is of a newer CUDA than the driver."""
    trt.starts = False
    with pytest.raises(
        EngineError,
        match=r"^t\.engine: tensorrt 10\.\S+ cannot start on GeForce .*\): CUDA init.* error: 35$",
    ):
        open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")
    assert cuda.streams == 0


def test_outputs_of_unknown_size(runtime: TensorRtRuntime, trt: FakeTensorRt) -> None:
    trt.unknown_size = True
    with pytest.raises(EngineError, match=r"'simcc_x' depends on the data.*export without --nms"):
        runtime.run(images(1))


def test_a_closed_runtime(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    runtime = open_runtime(engine_file(tmp_path / "t.engine"), device="cuda:0")
    runtime.run(images(1))
    runtime.close()
    runtime.close()
    assert not cuda.live
    with pytest.raises(EngineError, match="closed"):
        runtime.run(images(1))


@pytest.mark.parametrize("version", [(10, 13, 2, 6), (11, 0, 0, 114), (8, 6, 1, 6)])
def test_an_engine_of_another_version(trt: FakeTensorRt, tmp_path: Path, version: tuple[int, ...]) -> None:
    path = engine_file(tmp_path / "t.engine", version=version)
    text = r"\.".join(map(str, version))
    with pytest.raises(
        ModelFileError, match=rf"built by TensorRT {text}, and 10\.13\.3\.9 is.*Build it again"
    ):
        open_runtime(path, device="cuda")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes"), (b"PK\3\4" + bytes(100), "begins with b'PK"), (b"ftrt" + bytes(20), "24 bytes")],
)
def test_files_that_are_no_engines(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.engine"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"not a TensorRT engine \(.*{message}"):
        open_runtime(path, device="cuda")


def test_a_damaged_engine(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    path = engine_file(tmp_path / "t.engine", body=b"damaged")
    with pytest.raises(
        ModelFileError,
        match=r"cannot load it on GeForce GTX 1660 Ti \(sm75\): Serialization assertion failed",
    ):
        open_runtime(path, device="cuda")
    assert cuda.streams == 0


def test_no_gpu(trt: FakeTensorRt, cuda: FakeCuda, tmp_path: Path) -> None:
    path = engine_file(tmp_path / "t.engine")
    with pytest.raises(
        DeviceError, match=r"'cuda:2' cannot be had: this machine has 1 \(cuda:0 to cuda:0\)"
    ):
        open_runtime(path, device="cuda:2")
    cuda.count_error = 35
    with pytest.raises(
        DeviceError,
        match=r"'cuda:0' cannot be had: CUDA driver version is insufficient .*one older than CUDA 13.* or "
        r"pip install 'cuda-python<13'\)\. TensorRT engines run",
    ):
        open_runtime(path, device="cuda")
    cuda.count_error = 100
    with pytest.raises(
        DeviceError, match=r"had: no CUDA-capable device is detected\. TensorRT engines run"
    ):
        open_runtime(path, device="cuda")
    with pytest.raises(DeviceError, match="unknown device 'cpu'; expected one of cuda"):
        open_runtime(path)


def test_no_binding(trt: FakeTensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.bindings.runtime", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"'cuda-python'.*pip install 'rtmpose-sdk\[tensorrt\]'"):
        open_runtime(engine_file(tmp_path / "t.engine"), device="cuda")


def test_no_engine_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpose_sdk.runtimes.tensorrt_module._is_there", lambda name: False)
    for tag, extra in ((b"ftrt", "tensorrt"), (b"vtrt", "tensorrt-rtx")):
        with pytest.raises(MissingExtraError, match=rf"pip install 'rtmpose-sdk\[{extra}\]'"):
            open_runtime(engine_file(tmp_path / "t.engine", tag), device="cuda")
