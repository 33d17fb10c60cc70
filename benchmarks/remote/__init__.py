"""Other machines: `--device ssh:user@host` and `--device adb`, measured there, reported here."""

from __future__ import annotations

from typing import Any

from rtmpose_sdk.benchmarks.remote.arguments import REMOTE_COMMAND, Asked
from rtmpose_sdk.benchmarks.remote.measure_adb import measure_over_adb
from rtmpose_sdk.benchmarks.remote.measure_ssh import measure_over_ssh

__all__ = ["REMOTE_COMMAND", "Asked", "is_remote", "measure_remote"]


def is_remote(device: str) -> bool:
    """Whether a device is another machine's."""
    return device.split(":")[0] in ("ssh", "adb")


def measure_remote(asked: Asked) -> dict[str, Any]:
    """Measure on the device that this command line names.

    Returns:
        What `--json` writes, of that machine.

    Raises:
        RTMPoseError: see `measure_over_ssh`, `measure_over_adb`.
    """
    device = asked.values["device"]
    if device.startswith("adb"):
        return measure_over_adb(device, asked)
    return measure_over_ssh(device, asked, asked.values["remote_command"])
