"""ONNX Runtime behind the Runtime contract."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rtmpose_sdk.errors import DeviceError, EngineError, InputError, ModelFileError
from rtmpose_sdk.runtimes import allowed_cores, open_runtime, parse_device
from rtmpose_sdk.runtimes.onnxruntime import _load_cuda
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


def test_what_is_dropped_is_freed_at_once(model: Path) -> None:
    """A cycle in it kept sessions, 20 MB each, until the garbage collector came by."""
    gc.disable()
    try:
        runtime = open_runtime(model, threads=1)
        gone = weakref.ref(runtime)
        del runtime
        assert gone() is None
    finally:
        gc.enable()


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
    if "DmlExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(DeviceError, match=r"DmlExecutionProvider.*pip install onnxruntime-directml"):
            open_runtime(model, device="dml")
    assert parse_device("cuda:1", ("cuda",)) == ("cuda", 1)


@pytest.fixture
def listed_cuda(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An ONNX Runtime that lists CUDA; what it is told to preload is noted, and prints as the real one."""
    loads: list[str] = []

    def preload() -> None:
        loads.append("CUDA")
        sys.stdout.write("Failed to load libcublasLt.so.13")

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    _load_cuda.cache_clear()
    return loads


def test_a_quiet_fall_back_is_an_error(
    model: Path, listed_cuda: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime-gpu without a working CUDA lists the provider, then runs on the CPU."""
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"fell back to CPU.*pip install 'rtmpose-sdk\[cuda\]'"):
            open_runtime(model, device="cuda")
    open_runtime(model).close()
    assert listed_cuda == ["CUDA"]  # once, and not for the CPU
    assert capsys.readouterr().out == ""  # results are written there


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the loader's words are Linux's")
def test_the_library_that_cuda_misses_is_named(
    model: Path, listed_cuda: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi/libonnxruntime_providers_cuda.so").write_bytes(b"")
    monkeypatch.setattr(onnxruntime, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DeviceError, match=r"libonnxruntime_providers_cuda\.so: file too short"):
        open_runtime(model, device="cuda")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("CUDA failure 100: no CUDA-capable device is detected", DeviceError),
        ("Protobuf parsing failed", ModelFileError),
    ],
)
def test_cuda_runs_as_asked_or_not_at_all(
    said: str,
    kind: type,
    model: Path,
    listed_cuda: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No TF32, also beside fp16; and a folder called CUDA is no reason to doubt the device."""
    asked: list[object] = []

    def refuse(*_: object, providers: list[tuple[str, dict[str, str]]], enable_fallback: int) -> None:
        asked.append((providers[0][1], enable_fallback))
        raise RuntimeError(f"Load model from {path} failed: {said}")

    path = tmp_path / "CUDA" / model.name
    path.parent.mkdir()
    path.write_bytes(model.read_bytes())
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(kind, match=said):
        open_runtime(path, device="cuda:1")
    assert asked == [({"device_id": "1", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}, 0)]


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


class Shapes:
    """A stand-in for CUDA that computes on the CPU, and keeps what each session has seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real, self.seen = onnxruntime.InferenceSession, list[set[tuple[int, ...]]]()
        self.kept = weakref.WeakSet[object]()
        outer = self

        class Session:
            def __init__(self, path: str, options: object, providers: object, enable_fallback: int) -> None:
                self._real, self._seen = real(path, options), set[tuple[int, ...]]()
                outer.seen.append(self._seen)
                outer.kept.add(self)

            def __getattr__(self, name: str) -> object:
                return getattr(self._real, name)

            def get_providers(self) -> list[str]:
                return ["CUDAExecutionProvider"]

            def run(self, names: list[str], feed: dict[str, np.ndarray]) -> object:
                self._seen.update(array.shape for array in feed.values())
                return self._real.run(names, feed)

        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)

    def batches(self) -> set[int]:
        return {shape[0] for shape in set().union(*self.seen)}


@pytest.mark.parametrize("count", [0, 1, 3, 8, 130])
def test_on_cuda_every_session_sees_one_batch(
    count: int, model: Path, listed_cuda: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are filled up, and the answers are the same."""
    with open_runtime(model) as plain:
        shape = [side or 8 for side in plain.inputs[0].shape[1:]]
        inputs = np.random.default_rng(0).random((count, *shape)).astype(plain.inputs[0].dtype)
        wanted = plain.run(inputs)
    cuda = Shapes(monkeypatch)
    with open_runtime(model, device="cuda") as runtime:
        for array, found in zip(wanted, runtime.run(inputs), strict=True):
            assert found.shape == array.shape
            np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-5)
        runtime.run(np.concatenate([inputs[:1]] * 5) if count else inputs)
        assert cuda.batches() <= {1, 2, 4, 8, 16, 32, 64, 128}
        runtime.bare(inputs)()  # as it is, not filled up
    assert count in cuda.batches()
    assert all(len(seen) <= 1 for seen in cuda.seen)


def test_on_cuda_every_session_sees_one_size_of_pictures(
    listed_cuda: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector's letterboxes are as large as their pictures ask: shapes in turn plan nothing anew."""
    path = find_model("rtmdet-nano-own")
    with open_runtime(path) as plain:
        spec = plain.inputs[0]
    sizes = [(256 + 32 * n, 384) for n in range(5)] + [(384, 256 + 32 * n) for n in range(4)]
    pictures = [np.zeros((1, *size, 3), spec.dtype) for size in sizes]
    cuda = Shapes(monkeypatch)
    with open_runtime(path, device="cuda") as runtime:
        for picture in [*pictures[:8], *pictures[:8]]:
            runtime.run(picture)
        assert len(cuda.seen) == 8
        runtime.run(pictures[8])  # one more than are kept: the first one's session goes
        for picture in pictures[1:]:
            runtime.run(picture)
        assert len(cuda.seen) == 9
        assert len(cuda.kept) == 8
        runtime.run(pictures[0])
    assert len(cuda.seen) == 10
    assert all(len(seen) == 1 for seen in cuda.seen)


def test_on_cuda_threads_share_the_sessions(
    model: Path, listed_cuda: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = Shapes(monkeypatch)
    with open_runtime(model, device="cuda") as runtime, ThreadPoolExecutor(8) as pool:
        shape = [side or 8 for side in runtime.inputs[0].shape[1:]]
        arrays = [np.zeros((1 + n % 4, *shape), runtime.inputs[0].dtype) for n in range(64)]
        for array, found in zip(arrays, pool.map(runtime.run, arrays), strict=True):
            assert len(found[0]) == len(array)
    assert len(cuda.seen) == 3
