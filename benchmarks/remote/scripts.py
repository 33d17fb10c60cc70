"""Scripts for the sh of another machine: a command whose folder goes with it."""

from __future__ import annotations

import shlex

PID_FILE = "pid"
"""In the folder: the number of the command, as long as it runs; who ends it later must hit nobody else."""


def run_in(folder: str, command: str) -> str:
    """Run a command in a folder; its status, 128 and the signal's number where one ended it.

    Args:
        folder: on that machine.
        command: one program and its arguments, for sh.
    """
    # The shell around it outlives the command: its status comes back, and its number is taken away.
    one = shlex.quote(f"echo $$ > {PID_FILE} && exec {command}")
    return f"cd {shlex.quote(folder)} && {{ sh -c {one}; ended=$?; rm -f {PID_FILE}; exit $ended; }}"


def remove(folder: str) -> str:
    """Remove a folder, and end the command that still runs in it."""
    place = shlex.quote(folder)
    return f"kill -KILL $(cat {place}/{PID_FILE} 2>/dev/null) 2>/dev/null; rm -rf -- {place}"
