"""Which words of a command line may go to another machine?"""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from rtmpose_sdk.benchmarks.cli import app
from rtmpose_sdk.benchmarks.remote.arguments import Asked
from rtmpose_sdk.errors import InputError


def _asked(*words: str) -> Asked:
    command = typer.main.get_command(app)
    return Asked.of(command.make_context("rtmpose-bench", list(words)))  # type: ignore[arg-type]


def test_a_peers_file_of_this_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "movenet.tflite"
    file.touch()
    with pytest.raises(InputError, match="--peer reads a file of this machine"):
        _asked("--peer", f"movenet={file}")
    assert (
        _asked("--peer", f"movenet={tmp_path}/there.tflite")
        .command(lambda _, word: word)[-1]
        .endswith("there.tflite")
    )


def test_a_name_is_no_file_whatever_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ncnn", "rtmlib", "2"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    words = ["--engine", "ncnn", "--peer", "rtmlib", "--threads", "2"]
    found = _asked(*words).command(lambda _, word: word)
    assert [found[found.index(flag) + 1] for flag in words[::2]] == words[1::2]
