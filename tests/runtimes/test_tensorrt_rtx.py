"""TensorRT for RTX: its stand-in, and a real engine of it where there is no GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_cuda import FakeCuda, _installed
from fake_tensorrt import FakeTensorRt, check, engine_file, images

from rtmpose_sdk.errors import DeviceError, ModelFileError
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.runtimes.engine_file import read_engine_header
from rtmpose_sdk.runtimes.tensorrt import TensorRtRuntime


class TestRtx:
    """TensorRT for RTX: another tag, its own graphs, and a check of the header."""

    @pytest.fixture
    def rtx(self, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
        fake = FakeTensorRt(cuda, "1.7.1.116", rtx=True)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
        return fake

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return engine_file(tmp_path / "t.engine", b"vtrt", (1, 7, 1, 116))

    def test_it_records_by_itself(self, rtx: FakeTensorRt, cuda: FakeCuda, file: Path) -> None:
        with open_runtime(file, device="cuda") as runtime:
            assert runtime.engine == "tensorrt-rtx 1.7.1.116"
            assert isinstance(runtime, TensorRtRuntime)
            for seed, batch in enumerate((2, 2, 2, 5, 2)):
                check(runtime, batch, seed)
            assert [config.cuda_graph_strategy for config in rtx.configs] == ["whole"]
            assert not cuda.graphs

    def test_another_gpu(self, rtx: FakeTensorRt, file: Path) -> None:
        rtx.validity = (2, 2)
        with pytest.raises(DeviceError, match=r"built for GeForce GTX 1660 Ti \(sm75\).*--target sm75$"):
            open_runtime(file, device="cuda")

    def test_a_gpu_that_nothing_is_built_for(
        self, rtx: FakeTensorRt, cuda: FakeCuda, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rtx.validity = (2, 2)  # as TensorRT for RTX 1.7.1 answered on an H100 for sm80, sm89 and no target
        properties = SimpleNamespace(name=b"NVIDIA H100 80GB HBM3", major=9, minor=0)
        monkeypatch.setattr(cuda, "cudaGetDeviceProperties", lambda number: (0, properties))
        with pytest.raises(DeviceError, match=r"H100 80GB HBM3 \(sm90\)\. tensorrt-rtx .* sm75, sm86 only"):
            open_runtime(file, device="cuda")

    def test_another_reason(self, rtx: FakeTensorRt, file: Path) -> None:
        rtx.validity = (2, 1)
        with pytest.raises(ModelFileError, match=r"refuses it on .*VERSION_MISMATCH.*Build it again"):
            open_runtime(file, device="cuda")

    def test_slower_than_it_could_be(self, rtx: FakeTensorRt, file: Path) -> None:
        rtx.validity = (1, 0)
        with (
            pytest.warns(UserWarning, match="slower than it could be"),
            open_runtime(file, device="cuda") as r,
        ):
            r.run(images(1))

    def test_a_cut_file(self, file: Path) -> None:
        file.write_bytes(file.read_bytes() + b"more")
        with pytest.raises(ModelFileError, match="is damaged: it has 68 bytes and says that it has 64"):
            read_engine_header(file)


def _no_real_gpu() -> bool:
    bindings = pytest.importorskip("cuda.bindings.runtime")
    error, count = bindings.cudaGetDeviceCount()
    return bool(int(error)) or not count


def _real_engine(path: Path) -> Path:
    """A small engine of the installed TensorRT for RTX."""
    pytest.importorskip("tensorrt_rtx_bindings")
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from rtmpose_sdk.card import CARD_KEY, ModelCard
    from rtmpose_sdk.exporters.tensorrt import write_tensorrt
    from rtmpose_sdk.zoo import find_model

    model = onnx.load(str(find_model("rtmdet-nano-own")))
    entries = {entry.key: entry.value for entry in model.metadata_props}
    card = ModelCard.from_json(entries[CARD_KEY], "test")
    write_tensorrt(model, card, path, targets=("sm86",))
    return path


def test_a_real_engine_where_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _real_engine(tmp_path / "d.engine")
    if not _no_real_gpu():
        pytest.skip("there is a GPU here")
    with pytest.raises(DeviceError, match=r"'cuda:0' cannot be had: .*on a CPU run the ONNX file"):
        open_runtime(path, device="cuda")
    content = path.read_bytes()
    path.write_bytes(content[:100_000])
    with pytest.raises(ModelFileError, match=f"is damaged: it has 100000 bytes.*has {len(content)}"):
        open_runtime(path, device="cuda")
    path.write_bytes(content[:25] + bytes([6]) + content[26:])
    with pytest.raises(ModelFileError, match=r"built by TensorRT for RTX 1\.6\..*is installed"):
        open_runtime(path, device="cuda")
    # A driver that promises a GPU which the engine does not find: its own answer is what is said.
    path.write_bytes(content)
    fake = _installed(FakeCuda(), monkeypatch)
    with pytest.raises(ModelFileError, match=r"refuses it on GeForce.*CUDA driver"):
        open_runtime(path, device="cuda")
    assert fake.streams == 0
