"""What an export must not replace, and what it leaves where the disk is full or it is killed."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.exporters import cli
from rtmpose_sdk.exporters.beside import folder_beside
from rtmpose_sdk.exporters.cli import app
from rtmpose_sdk.exporters.overwriting import check_overwriting
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.zoo import find_model


def refusal(*words: object) -> BaseException | None:
    return CliRunner().invoke(app, [str(word) for word in words]).exception


@pytest.mark.parametrize("more", [["--precision", "fp16"], ["--end2end", "pose"]])
def test_a_source_is_not_replaced(tmp_path: Path, more: list[str]) -> None:
    source = tmp_path / "t.onnx"
    shutil.copy(find_model("rtmpose-t-own"), source)
    (tmp_path / "link.onnx").symlink_to(source)
    for out in ("t.onnx", "link.onnx"):
        refused = refusal("--weights", source, *more, "--no-verify", "--out", tmp_path / out)
        assert isinstance(refused, InputError), refused
        assert "would replace" in str(refused)
        assert "which it is made of" in str(refused)
    assert source.read_bytes() == find_model("rtmpose-t-own").read_bytes()


def test_weights_of_something_else_are_not_replaced(tmp_path: Path) -> None:
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"a language model's")
    for name in ("model.xml", "model.param"):
        with pytest.raises(InputError, match=r"replace model\.bin, which is of no artifact here"):
            check_overwriting(tmp_path / name, None)
        with pytest.raises(InputError, match="which it is made of"):
            check_overwriting(tmp_path / name, weights)
    check_overwriting(tmp_path / "model.onnx", None)
    (tmp_path / "model.xml").write_text("")
    check_overwriting(tmp_path / "model.xml", None)
    with pytest.raises(InputError, match=r"replace those of model\.xml"):
        check_overwriting(tmp_path / "model.param", None)


def test_folders_of_killed_exports_are_removed(tmp_path: Path) -> None:
    left, held, foreign = (tmp_path / n for n in (".t.onnx-a1b2c3d_", ".t.onnx-00000000", ".t.onnx-mine"))
    for folder in (left, held, foreign):
        (folder / "made").mkdir(parents=True)
    with FileLock(held / "lock"), folder_beside(tmp_path / "t.onnx") as own:
        assert set(tmp_path.iterdir()) == {held, foreign, own}
        with folder_beside(tmp_path / "t.onnx"):
            assert own.is_dir()
    assert set(tmp_path.iterdir()) == {held, foreign}


def test_what_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    out = tmp_path / "t.onnx"

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    def to_a_folder(file: Path) -> None:
        file.mkdir()
        write_bytes(file, b"")

    for write in (full, to_a_folder):
        with pytest.raises(OutputError) as refused:
            make(out, write)
        assert re.fullmatch(rf"{out}: cannot be written \((No space left on|Is a).*\)", str(refused.value))
    assert list(tmp_path.iterdir()) == []


def make(out: Path, write: Callable[[Path], None]) -> None:
    with folder_beside(out) as folder:
        write(folder / "made" / out.name)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may get larger than 1 MB: to those who write, the same as a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "words",
    [
        ["--out", "t.onnx"],
        ["--end2end", "pose", "--out", "t.onnx"],
        ["--backend", "openvino", "--out", "t.xml"],
        ["--backend", "torch", "--out", "t.pt2"],
        ["--backend", "ncnn", "--out", "t.param"],
    ],
)
def test_a_full_disk_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_files: None, words: list[str]
) -> None:
    if "--backend" in words:
        pytest.importorskip({"openvino": "openvino", "ncnn": "pnnx"}.get(words[1], "torch"))
    monkeypatch.chdir(tmp_path)
    refused = refusal("--weights", "rtmpose-t-own", *words)
    assert isinstance(refused, OutputError), refused
    assert str(refused) == f"{words[-1]}: cannot be written (File too large)"
    assert list(tmp_path.iterdir()) == []


def test_openvinos_own_words_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(openvino, "save_model", full)
    out = tmp_path / "t.xml"
    refused = refusal("--weights", "rtmpose-t-own", "--backend", "openvino", "--no-verify", "--out", out)
    assert isinstance(refused, OutputError), refused
    assert str(refused).startswith(f"{out}: OpenVINO cannot write it (basic_ios::clear: iostream error)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("backend", "suffix"), [("openvino", ".xml"), ("ncnn", ".param")])
def test_a_full_folder_of_temporary_files_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, suffix: str
) -> None:
    pytest.importorskip({"openvino": "openvino", "ncnn": "pnnx"}[backend])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    out = tmp_path / f"t{suffix}"
    refused = refusal("--weights", "rtmpose-t-own", "--backend", backend, "--no-verify", "--out", out)
    assert refused is None
    assert out.is_file()


def test_two_writers_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, path = Path.write_bytes, tmp_path / "t.bin"

    def meanwhile(self: Path, data: bytes) -> int:
        monkeypatch.undo()
        count = whole(self, data)
        write_bytes(path, b"second")
        return count

    monkeypatch.setattr(Path, "write_bytes", meanwhile)
    write_bytes(path, b"first")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
    write_bytes(tmp_path / ("é" * 120), b"")  # as long as a name may nearly be


def test_what_ends_a_writer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(self: Path, data: bytes) -> int:
        self.touch()
        sys.exit(143)

    monkeypatch.setattr(Path, "write_bytes", ended)
    with pytest.raises(SystemExit):
        write_bytes(tmp_path / "t.bin", b"first")
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import signal, typer
from pathlib import Path
from rtmpose_sdk.cli.run import run, tidy_when_ended
from rtmpose_sdk.exporters.beside import folder_beside

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
app = typer.Typer(pretty_exceptions_enable=False)

@app.command()
@tidy_when_ended()
def go():
    with folder_beside(Path("t.onnx")):
        print("ready", flush=True)
        while True:
            signal.pause()

run(app)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no such signals here")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_an_export_that_is_ended_leaves_nothing(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    process.communicate(timeout=30)
    if name == "SIGKILL":
        assert len(list(tmp_path.iterdir())) == 1
        with folder_beside(tmp_path / "t.onnx"):
            assert len(list(tmp_path.iterdir())) == 1
    else:
        assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_ended_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_: object) -> None:
        raise InputError(str(callable(signal.getsignal(signal.SIGTERM))))

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "find_checkpoint", look)
    assert str(refusal("--weights", "t.pth", "--out", tmp_path / "t.onnx")) == "True"
    assert signal.getsignal(signal.SIGTERM) is before
