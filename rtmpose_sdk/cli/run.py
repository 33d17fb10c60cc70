"""How does a command end? Errors of ours become one message and exit code 1."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from rtmpose_sdk.errors import RTMPoseError


def run(app: typer.Typer) -> None:
    """Run a command line application and leave the process with its exit code."""
    try:
        app()
    except RTMPoseError as error:
        print_error(error)
        sys.exit(1)


def print_error(error: Exception) -> None:
    """One error on standard error, as it is: nothing in it is markup."""
    Console(stderr=True).print(
        f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True
    )
