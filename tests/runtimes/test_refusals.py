"""What cannot be opened, or not so, is refused with the file's name and what to do; in every engine."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rtmpose_sdk.errors import DeviceError, ModelFileError
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import subject_from_artifact
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import find_model


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(find_model("rtmpose-t-own"), tmp_path / "t.onnx"))


@pytest.fixture(scope="session")
def program(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    def make(folder: Path) -> None:
        subject = subject_from_artifact(find_model("rtmpose-t-own"))
        export(subject, folder / "t.pt2", None, settings=ExportSettings("torch"))

    return once("refusals-program", make) / "t.pt2"


def test_a_precision_of_a_file_that_says_its_own(onnx_file: Path) -> None:
    with pytest.raises(
        DeviceError,
        match=r"run t\.onnx in precision 'bf16': its precision is in the file\. Leave it out, or export .*"
        r"rtmpose-export --precision; engine 'openvino' runs ONNX files",
    ):
        open_runtime(onnx_file, precision="bf16")


def test_a_device_that_another_engine_has(onnx_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(
        DeviceError, match=r"^t\.onnx: unknown device 'cuda:1'; expected one of cpu, gpu, .*\('gpu:1'\)"
    ):
        open_runtime(onnx_file, "cuda:1", engine="openvino")
    (tmp_path / "t.engine").write_bytes(b"ftrt")
    with pytest.raises(DeviceError, match=r"^t\.engine: unknown device 'cpu'; expected one of cuda"):
        open_runtime(tmp_path / "t.engine")


@pytest.mark.parametrize("kept", [0, 1000])
def test_an_onnx_file_that_is_cut_short(onnx_file: Path, kept: int) -> None:
    onnx_file.write_bytes(onnx_file.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match="It is damaged or cut short: copy or export it again"):
        open_runtime(onnx_file)


def test_openvino_files_that_are_cut_short(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    whole = shared / "weights" / "tinypose" / "128_96" / "model.xml"
    for suffix in (".xml", ".bin"):
        for part in (".xml", ".bin"):
            data = whole.with_suffix(part).read_bytes()
            (tmp_path / "t").with_suffix(part).write_bytes(data[: len(data) // (1 + (part == suffix))])
        with pytest.raises(ModelFileError, match="copy or export it again") as refused:
            open_runtime(tmp_path / "t.xml")
        assert "Exception from" not in str(refused.value)


def test_a_program_that_is_cut_short_is_one_line(
    program: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Torch logged a traceback before the error."""
    (tmp_path / "t.pt2").write_bytes(program.read_bytes()[:100_000])
    with pytest.raises(
        ModelFileError, match=r"t\.pt2: torch .* cut short, or none: copy or export it again"
    ):
        open_runtime(tmp_path / "t.pt2")
    assert capfd.readouterr() == ("", "")


def test_a_program_whose_weights_are_damaged(program: Path, tmp_path: Path) -> None:
    """It opened, and keypoints were 7 px off."""
    data = bytearray(program.read_bytes())
    with zipfile.ZipFile(program) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    middle = largest.header_offset + largest.file_size // 2
    data[middle : middle + 100] = bytes(100)
    (tmp_path / "t.pt2").write_bytes(data)
    with pytest.raises(ModelFileError, match=r"in it is damaged\. Copy or export it again"):
        open_runtime(tmp_path / "t.pt2")
    with open_runtime(program) as whole:
        assert whole.outputs[0].name == "simcc_x"
