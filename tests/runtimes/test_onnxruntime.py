"""ONNX Runtime behind the Runtime contract."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rtmpose_sdk.errors import DeviceError, EngineError, InputError, ModelFileError
from rtmpose_sdk.runtimes import allowed_cores, open_runtime, parse_device
from rtmpose_sdk.zoo import find_model


@pytest.fixture(scope="module")
def model() -> Path:
    return find_model("rtmpose-t-own")


def test_what_is_said_is_what_runs(model: Path) -> None:
    with open_runtime(model, threads=1) as runtime:
        assert runtime.engine == f"onnxruntime {onnxruntime.__version__}"
        assert str(runtime.device) == "cpu"
        assert runtime.threads == 1
        assert runtime.precision is None
        assert runtime.arithmetic == "as in the graph"
        assert ", cpu, 1 threads, as in the graph: image: uint8" in repr(runtime)
        assert runtime._session.get_session_options().intra_op_num_threads == 1
        assert runtime._session.get_providers() == ["CPUExecutionProvider"]
        assert [str(s) for s in runtime.inputs] == ["image: uint8 (N,256,192,3)"]
        assert [s.name for s in runtime.outputs] == ["simcc_x", "simcc_y"]
        assert "rtmpose_card" in runtime.metadata
    with open_runtime(model) as runtime:
        assert runtime.threads == allowed_cores()


def test_idle_threads_leave_the_cores_to_others(model: Path) -> None:
    """A detector's threads that spin on while the pose network runs made a pipeline half as fast."""
    picture = np.zeros((1, 256, 192, 3), np.uint8)
    used = []
    with open_runtime(model, threads=2) as runtime:
        for _ in range(5):
            runtime.run(picture)
            before = time.process_time()
            time.sleep(0.03)
            used.append(time.process_time() - before)
    assert min(used) < 0.01  # of 0.03 s; of all of them, where threads spin


def test_outputs_equal_the_engines_own(model: Path, photo: np.ndarray) -> None:
    image = np.ascontiguousarray(photo[None, 100:356, 100:292])
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    want = session.run(None, {"image": image})
    with open_runtime(model, threads=1) as runtime:
        for got, expected in zip(runtime.run(image), want, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-5)
        backwards = image[:, ::-1][:, ::-1]  # not contiguous in memory, the same picture
        np.testing.assert_array_equal(runtime.run(backwards)[0], runtime.run(image)[0])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 256, 192, 3), np.float32),
        np.zeros((1, 192, 256, 3), np.uint8),
        np.zeros((256, 192, 3), np.uint8),
    ],
)
def test_other_inputs_are_refused(model: Path, array: np.ndarray) -> None:
    with (
        open_runtime(model, threads=1) as runtime,
        pytest.raises(InputError, match=r"takes image: uint8 \(N,256,192,3\); given"),
    ):
        runtime.run(array)


def test_a_closed_runtime_says_so(model: Path) -> None:
    runtime = open_runtime(model, threads=1)
    runtime.close()
    runtime.close()
    with pytest.raises(EngineError, match="closed"):
        runtime.run(np.zeros((1, 256, 192, 3), np.uint8))


def test_devices_that_cannot_be_had(model: Path) -> None:
    with pytest.raises(DeviceError, match=r"unknown device 'gpu'; expected one of cpu, cuda"):
        open_runtime(model, device="gpu")
    with pytest.raises(DeviceError, match="unknown device 'cuda:x'"):
        open_runtime(model, device="cuda:x")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(DeviceError, match=r"CUDAExecutionProvider.*rtmpose-sdk\[cuda\]"):
            open_runtime(model, device="cuda:1")
    assert parse_device("cuda:1", ("cuda",)) == ("cuda", 1)


def test_a_quiet_fall_back_is_an_error(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu without a working CUDA lists the provider, then runs on the CPU."""
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
        open_runtime(model, device="cuda")


def test_other_arguments(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads is 0"):
        open_runtime(model, threads=0)
    with pytest.raises(DeviceError, match="precision 'fp16'"):
        open_runtime(model, precision="fp16")
    with pytest.raises(ModelFileError, match="not a file"):
        open_runtime(tmp_path / "none.onnx")
    (tmp_path / "net.plan").write_bytes(b"x")
    with pytest.raises(ModelFileError, match=r"files of kind '\.plan'"):
        open_runtime(tmp_path / "net.plan")
