"""Which commands can be kept from opening a connection? All that may fetch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.cli import app as bench
from rtmpose_sdk.cli.main import app as rtmpose
from rtmpose_sdk.errors import DownloadError
from rtmpose_sdk.exporters.cli import app as export

APPS = {"rtmpose": rtmpose, "rtmpose-export": export, "rtmpose-bench": bench}
FETCH_NOTHING = {
    *("rtmpose plot", "rtmpose data check", "rtmpose card new"),
    *(f"rtmpose models {name}" for name in ("list", "info", "verify", "clean", "where")),
}
"""A new command is here, or has the option."""


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, below in (inner or {}).items():
        yield from leaves(f"{name} {word}", below)


def test_every_command_that_may_fetch_can_be_offline() -> None:
    every = {}
    for program, app in APPS.items():
        every |= dict(leaves(program, typer.main.get_command(app)))
    without = {
        name for name, command in every.items() if not any("--offline" in p.opts for p in command.params)
    }
    assert without == FETCH_NOTHING


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("rtmpose", "card show rtmpose-m"),
        ("rtmpose", "export --weights rtmpose-m --out t.onnx"),
        ("rtmpose-export", "--weights rtmpose-m --out t.onnx"),
        ("rtmpose-bench", "--pose rtmpose-m"),
    ],
)
def test_offline_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path))
    monkeypatch.setenv("RTMPOSE_OFFLINE", "")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection is opened"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(APPS[program], [*words.split(), "--offline"])
    assert isinstance(done.exception, DownloadError), done.output
    assert "--offline forbids to fetch it" in str(done.exception)
