"""How does a command end? Errors of ours become one message and exit code 1."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

import typer
from rich.console import Console

from rtmpose_sdk.errors import RTMPoseError, RTMPoseWarning
from rtmpose_sdk.stages import THREAD_NAME

_BY_SIGNAL = 128
"""What shells add to a signal's number, for the exit code."""


def run(app: typer.Typer) -> None:
    """Run a command line application and leave the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a pipe's encoding may lack a letter of a name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")
    try:
        with _warnings_as_lines():
            app()
    except RTMPoseError as error:
        print_error(error)
        _leave(1)
    except SystemExit as end:
        _leave(end.code)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """A warning of ours is a line for users; anybody else's names the code that it comes from."""
    usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, RTMPoseWarning):
            _print_line(f"warning: {message}", "yellow")
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


@contextlib.contextmanager
def tidy_when_ended() -> Iterator[None]:
    """SIGTERM and SIGHUP leave as an exit does: what is unfinished is removed. A second one ends at once.

    A signal that is ignored (nohup) or has a handler keeps it.
    """

    def leave(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        sys.exit(_BY_SIGNAL + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        numbers = []
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _leave(code: str | int | None) -> None:
    """End the process, past a thread that hangs in a decoder.

    A read of a silent camera is still inside of FFmpeg, and Python would free what it uses, which crashes
    now and then. Files are closed by now.
    """
    if isinstance(code, int | None) and any(t.name == THREAD_NAME for t in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)


def print_error(error: Exception) -> None:
    """One error on standard error, as it is: nothing in it is markup."""
    _print_line(f"error: {error}", "red")


def _print_line(text: str, style: str) -> None:
    Console(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)
