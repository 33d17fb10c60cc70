"""Files that cannot be written are named before the work, not after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.cli import app as bench
from rtmpose_sdk.cli.main import app as main
from rtmpose_sdk.errors import OutputError
from rtmpose_sdk.exporters.cli import app as export_app
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.subject import subject_from_artifact

EVAL = ["eval", "--annotations", "none.json", "--images", "none"]
COMPARE = ["compare", "rtmpose-t-own", "rtmpose-t-own", "--images", "none"]
OPTIONS = [
    *((bench, [option]) for option in ("--json", "--markdown", "--html", "--png")),
    *(
        (main, [*EVAL, *option])
        for option in (["--json"], ["--results"], ["--reliability"], ["--worst", "3"])
    ),
    (main, [*COMPARE, "--draw"]),
    (main, ["data", "check", "none.json", "--sheet"]),
    (main, ["tune", "--out"]),
    (main, ["plot", "none.jsonl", "--joint", "nose", "--out"]),
    (export_app, ["--weights", "rtmpose-t-own", "--out"]),
]


@pytest.mark.parametrize(("app", "words"), OPTIONS, ids=lambda v: v[-1] if isinstance(v, list) else "")
def test_a_folder_where_a_file_belongs(app: typer.Typer, words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "there.onnx"
    folder.mkdir()
    with pytest.raises(OutputError, match="is a folder; expected the name of a file to be written"):
        CliRunner().invoke(app, [*words, str(folder)], catch_exceptions=False)


def test_a_file_where_a_folder_belongs_and_one_without_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file is a file; expected a folder"):
        CliRunner().invoke(bench, ["--json", str(tmp_path / "file" / "a.json")], catch_exceptions=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="cannot be written to; expected another folder"):
        CliRunner().invoke(bench, ["--json", str(tmp_path / "new" / "a.json")], catch_exceptions=False)
    assert not (tmp_path / "new").exists()


def test_an_export_that_cannot_be_put_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "t.onnx").mkdir()
    subject = subject_from_artifact(Path("rtmpose-t-own"))
    with pytest.raises(OutputError, match=r"t\.onnx: cannot be written \(Is a directory\)"):
        export(subject, tmp_path / "t.onnx", None)
    with pytest.raises(OutputError, match=r"x\.onnx: cannot be written \(No such file or directory\)"):
        export(subject, tmp_path / "none" / "x.onnx", None)
    assert [path.name for path in tmp_path.iterdir()] == ["t.onnx"]


def test_a_run_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "images").mkdir()
    words = ["train", "pose", "--data", tmp_path / "a.json", "--out", tmp_path / "run", "--epochs", 1]
    with pytest.raises(OutputError, match="run: is a file; expected a folder for the run"):
        CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
