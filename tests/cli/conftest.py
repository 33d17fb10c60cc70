"""Commands, with and without a process of their own, and a video for them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk.cli.main import main

Called = Callable[..., subprocess.CompletedProcess[str]]
BIN = Path(sys.executable).parent


def run_command(command: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [BIN / command, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_command("rtmpose", *arguments, cwd=cwd)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _called(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`rtmpose` from its entry point to its exit code, in this process: importing anew takes seconds."""
    out, complaints = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(cwd)
        patched.setenv("COLUMNS", "160")
        patched.setattr(sys, "argv", ["rtmpose", *map(str, arguments)])
        patched.setattr(os, "_exit", sys.exit)  # past a thread that hangs; it would end the tests, too
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(complaints),
            pytest.raises(SystemExit) as end,
        ):
            main()
    cv2.setNumThreads(-1)  # as OpenCV begins: the command may have set it
    code = end.value.code or 0
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), complaints.getvalue())


@pytest.fixture(scope="session")
def called() -> Called:
    """called(*arguments, cwd=folder): see `_called`."""
    return _called


@pytest.fixture(scope="session")
def clip(photo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled photograph as a video of 3 seconds: it slides to the left and back."""
    av = pytest.importorskip("av")
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    file = tmp_path_factory.mktemp("clip") / "astronaut.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 384, 256, "yuv420p"
        for index in range(60):
            picture = np.full((256, 384, 3), 90, np.uint8)
            x = 64 + round(50 * np.sin(index / 60 * 2 * np.pi))
            picture[:, x : x + 256] = photo
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        out.mux(stream.encode(None))
    return file
