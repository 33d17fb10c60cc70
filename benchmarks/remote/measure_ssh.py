"""The same `rtmpose-bench`, run on another machine: files there, figures back."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.baseline import REPORT_VERSION
from rtmpose_sdk.benchmarks.remote.address import parse_address
from rtmpose_sdk.benchmarks.remote.arguments import Asked
from rtmpose_sdk.benchmarks.remote.parcel import Parcel
from rtmpose_sdk.benchmarks.remote.scripts import PID_FILE, remove, run_in
from rtmpose_sdk.benchmarks.remote.ssh import Ssh
from rtmpose_sdk.errors import DeviceError, RTMPoseWarning

_REPORT = "report.json"
_STOP_SECONDS = 120
"""How long a command that was told to stop may take to write what it has."""
_SIGNALLED = 128
"""What sh adds to the number of the signal that ended a command."""


def measure_over_ssh(device: str, asked: Asked, command: str) -> dict[str, Any]:
    """Send the models, run the command there, bring its report back, and clean up.

    Ctrl-C is passed on: the report then holds what was measured so far.

    Args:
        device: "ssh:[user@]host[:port][/device]".
        asked: this command line.
        command: `rtmpose-bench` there: in its PATH, or a path; "~/" is the home there.

    Returns:
        What `--json` writes, of that machine.

    Raises:
        RTMPoseError: no such address, model or picture.
        DeviceError: no connection, no SDK of this version there, or the command failed there.
        KeyboardInterrupt: before anything was measured.
    """
    ssh = Ssh(parse_address(device))
    with tempfile.TemporaryDirectory(prefix="rtmpose-bench-") as local:
        outgoing = Path(local, "there")
        outgoing.mkdir()
        parcel = Parcel(outgoing)
        words = asked.command(parcel.add_option)
        _check_version(ssh, command)
        with _folder_there(ssh) as folder:
            ssh.send(outgoing, folder)
            words += ["--device", ssh.address.device, "--json", _REPORT]
            script = run_in(folder, f"{_quote(command)} {shlex.join(words)}")
            _run(ssh, script, f"{folder}/{PID_FILE}")
            report = Path(local, _REPORT)
            ssh.fetch(f"{folder}/{_REPORT}", report)
            return _read(report, ssh)


def _quote(command: str) -> str:
    """For sh, with "~/" left to it."""
    if command.startswith("~/"):
        return f'"$HOME"/{shlex.quote(command[2:])}'
    return shlex.quote(command)


def _check_version(ssh: Ssh, command: str) -> None:
    """Two versions may measure differently, and write different reports."""
    quoted = _quote(command)
    said = ssh.run(
        f"command -v {quoted} >/dev/null 2>&1 || {{ echo; echo rtmpose-bench is missing; exit 0; }}; "
        f"{quoted} --version </dev/null 2>/dev/null; exit 0"
    )
    install = f"pip install 'rtmpose-sdk[cpu]=={__version__}'"
    if "rtmpose-bench is missing" in said.splitlines():
        raise DeviceError(
            f"{ssh.address}: no '{command}' there. Install it there with {install}; where it is in no PATH "
            "of ssh's (a virtual environment), name it: --remote-command '~/venv/bin/rtmpose-bench'"
        )
    found = re.search(r"^rtmpose-sdk (\S+)\s*$", said, re.MULTILINE)
    if found is None:
        raise DeviceError(
            f"{ssh.address}: '{command}' does not say its version; it is broken, an older one, or "
            f"something else. Here is rtmpose-sdk {__version__}: install the same there with {install}"
        )
    if found[1] != __version__:
        raise DeviceError(
            f"{ssh.address}: has rtmpose-sdk {found[1]}, here is {__version__}; figures of two versions "
            f"are not compared. Install the same there with {install}"
        )


@contextlib.contextmanager
def _folder_there(ssh: Ssh) -> Iterator[str]:
    """A fresh temporary folder there, removed at the end, with a command that still runs in it."""
    said = ssh.run('echo "folder:$(mktemp -d "${TMPDIR:-/tmp}/rtmpose-bench.XXXXXXXX")"')
    # A login script may print lines of its own.
    found = re.search(r"^folder:(/\S.*rtmpose-bench\.\w+)$", said, re.MULTILINE)
    if found is None:
        raise DeviceError(f"{ssh.address}: no temporary folder can be made there")
    try:
        yield found[1]
    finally:
        try:
            ssh.run(remove(found[1]))
        except DeviceError as error:
            warnings.warn(
                f"{found[1]} could not be removed there ({error}); remove it by hand",
                RTMPoseWarning,
                stacklevel=2,
            )


def _run(ssh: Ssh, script: str, pid_file: str) -> None:
    """Run the long command; Ctrl-C here is Ctrl-C there."""
    process = subprocess.Popen(
        ssh.words(script),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a terminal's Ctrl-C would end ssh, and the command go on there
    )
    interrupted = False
    try:
        try:
            _, stderr = process.communicate()
        except KeyboardInterrupt:
            interrupted = True
            ssh.run(f"kill -INT $(cat {shlex.quote(pid_file)})")
            _, stderr = process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{ssh.address}: did not stop within {_STOP_SECONDS} s") from None
    finally:
        process.kill()
        process.wait()
    if interrupted and process.returncode != 0:
        raise KeyboardInterrupt
    ssh.check_connection(process.returncode, stderr)
    if process.returncode > _SIGNALLED:
        number = process.returncode - _SIGNALLED
        reason = (
            "for want of memory, as a rule: measure less at once"
            if number == signal.SIGKILL
            else "it crashed"
        )
        raise DeviceError(f"{ssh.address}: rtmpose-bench was ended there by signal {number}; {reason}")
    if process.returncode != 0:
        raise DeviceError(
            f"{ssh.address}: rtmpose-bench failed there: {_reason(stderr, process.returncode)}"
        )


def _reason(stderr: str, status: int) -> str:
    """Its own message, else its last lines."""
    text = stderr.strip()
    if "error: " in text:
        return text[text.rindex("error: ") + len("error: ") :]
    return "\n".join(text.splitlines()[-5:]) or f"status {status}"


def _read(file: Path, ssh: Ssh) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise DeviceError(f"{ssh.address}: its report is damaged ({error}); measure again") from None
    if not isinstance(content, dict) or content.get("rtmpose_bench") != REPORT_VERSION:
        raise DeviceError(f"{ssh.address}: its report is not of version {REPORT_VERSION}")
    return content
