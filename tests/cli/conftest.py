"""Commands without a process of their own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from rtmpose_sdk.cli.main import main


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
def called() -> Callable[..., subprocess.CompletedProcess[str]]:
    """called(*arguments, cwd=folder): see `_called`."""
    return _called
