"""Another machine's shell, by the system's own `ssh` and `scp`.

They read ~/.ssh/config, keys and agents as everywhere; a library of our own would not.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from rtmpose_sdk.benchmarks.remote.address import Address
from rtmpose_sdk.errors import DeviceError

CONNECT_SECONDS = 10
"""Within this time a machine has to answer."""
SHORT_SECONDS = 60
"""Limit of commands that take no time: a machine that answers and then hangs is found out too."""
_OPTIONS = {
    "BatchMode": "yes",  # no questions: neither passwords nor unknown host keys
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
}
_SSH_FAILED = 255
"""Status by which ssh says that it is ssh itself that failed."""


class Ssh:
    """One machine. Nothing stays open between two calls."""

    def __init__(self, address: Address) -> None:
        for tool in ("ssh", "scp"):
            if shutil.which(tool) is None:
                raise DeviceError(
                    f"'{tool}' is not on this machine; --device ssh needs OpenSSH's client, for example "
                    "apt-get install openssh-client"
                )
        self.address = address
        self._options = [word for pair in _OPTIONS.items() for word in ("-o", "=".join(pair))]

    def words(self, script: str) -> list[str]:
        """The local command that runs a script of POSIX sh there, whatever the login shell is."""
        port = ["-p", str(self.address.port)] if self.address.port else []
        return ["ssh", "-T", *self._options, *port, self.address.login, f"sh -c {shlex.quote(script)}"]

    def run(self, script: str) -> str:
        """Run a script that takes no time.

        Returns:
            Its standard output.

        Raises:
            DeviceError: no connection, no answer in time, or the script failed.
        """
        done = self._call(self.words(script), SHORT_SECONDS)
        if done.returncode != 0:
            raise DeviceError(f"{self.address}: {_last(done.stderr) or f'status {done.returncode}'}")
        return done.stdout

    def send(self, folder: Path, target: str) -> None:
        """Copy what a folder holds into a folder there; as long as data flows it may take its time.

        Raises:
            DeviceError: no connection, or it cannot be written there.
        """
        what = [str(path) for path in sorted(folder.iterdir())]
        failed = self._copy(["-r", *what, f"{self.address.scp_login}:{target}/"], None)
        if failed:
            # scp names no reason for a write that failed.
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            free = " ".join(self.run(f"df -h {shlex.quote(target)} | tail -n 1").split())
            raise DeviceError(
                f"{failed}; is it full there? {size / 1e6:.1f} MB are sent, and df -h says: {free}"
            )

    def fetch(self, source: str, target: Path) -> None:
        """Copy one file from there.

        Raises:
            DeviceError: no connection, or it is not there.
        """
        failed = self._copy([f"{self.address.scp_login}:{source}", str(target)], SHORT_SECONDS)
        if failed:
            raise DeviceError(failed)

    def _copy(self, words: list[str], limit: float | None) -> str:
        """What went wrong, "" where nothing did."""
        port = ["-P", str(self.address.port)] if self.address.port else []
        done = self._call(["scp", "-q", *self._options, *port, *words], limit)
        return f"{self.address}: copying failed: {_last(done.stderr)}" if done.returncode != 0 else ""

    def _call(self, words: list[str], limit: float | None) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{self.address}: no answer within {limit:.0f} s") from None
        self.check_connection(done.returncode, done.stderr)
        return done

    def check_connection(self, status: int, stderr: str) -> None:
        """Say what to do where ssh itself failed.

        Raises:
            DeviceError: it did.
        """
        reason = _last(stderr)
        advice = next((a for sign, a in _ADVICE.items() if sign in stderr), None)
        # scp passes a failed connection on with other codes than 255.
        if status == _SSH_FAILED or (status != 0 and advice is not None):
            port = f" -p {self.address.port}" if self.address.port else ""
            by_hand = f"ssh{port} {self.address.login}"
            text = (advice or "try it by hand: {by_hand}").format(by_hand=by_hand, login=self.address.login)
            raise DeviceError(f"{self.address}: {reason or 'the connection broke'}; {text}")


_ADVICE = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "it is another machine than it was, or was set up anew: "
    "check that, then remove the old key with ssh-keygen -R",
    "Host key verification failed": "this machine does not know its key yet: connect once by hand and "
    "confirm it: {by_hand}",
    "Permission denied (": "it refused the key. Passwords are not asked for: give it your public key "
    "(ssh-copy-id {login}) and try {by_hand}",
    "Too many authentication failures": "it refused the keys: name the right one in ~/.ssh/config",
    "Could not resolve hostname": "is the name spelt right?",
    "Connection refused": "the machine is there, but no ssh server listens: is sshd running, on this port?",
    "timed out": f"it did not answer within {CONNECT_SECONDS} s: is it switched on, and in this network?",
    "No route to host": "is it switched on, and in this network?",
    "Network is unreachable": "is it switched on, and in this network?",
    "not responding": "it stopped answering: is it still on, and in this network?",
}
"""A part of ssh's message → what to do; the first that fits."""


def _last(text: str) -> str:
    """The last line that says something: ssh puts its reason there."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
