"""How a command leaves: with its code, and past threads that hang."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, time, typer
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.stages import Background

app = typer.Typer(pretty_exceptions_enable=False)
atexit.register(print, "taken down")

def silent():
    yield 1
    time.sleep(60)

@app.command()
def go(hang: bool = False, wrong: bool = False):
    if hang:
        next(Background(silent()))
    print("done", end="")
    if wrong:
        raise InputError("nothing there")
    raise typer.Exit(130)

run(app)
"""

WARNING_PROGRAM = """
import warnings, typer
from rtmpose_sdk import RTMPoseWarning
from rtmpose_sdk.cli.run import run

app = typer.Typer()

@app.command()
def go():
    warnings.warn("[bold]m.onnx did not pass", RTMPoseWarning)
    warnings.warn("somebody else's")

run(app)
"""


@pytest.mark.parametrize("hang", [False, True])
@pytest.mark.parametrize(("wrong", "code"), [(False, 130), (True, 1)])
def test_a_thread_that_hangs_in_a_read_is_not_taken_down_with_python(
    hang: bool, wrong: bool, code: int, tmp_path: Path
) -> None:
    """Freeing what such a thread uses crashes now and then: the process ends without."""
    words = [*(["--hang"] if hang else []), *(["--wrong"] if wrong else [])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == code
    assert done.stdout == ("done" if hang else "donetaken down\n")
    assert ("error: nothing there" in done.stderr) == wrong
    assert "Traceback" not in done.stderr


def test_a_warning_of_ours_is_a_line(tmp_path: Path) -> None:
    """Without the file and the source line, that tell a user nothing; others keep them."""
    program = tmp_path / "program.py"
    program.write_text(WARNING_PROGRAM)
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    first, second, *_ = ended.stderr.splitlines()
    assert first == "warning: [bold]m.onnx did not pass"
    assert re.search(r"program\.py:\d+: UserWarning: somebody else's", second)
