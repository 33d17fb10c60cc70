"""An Android device, by the system's own `adb`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rtmpose_sdk.errors import DeviceError, InputError

FOLDER = "/data/local/tmp"
"""Where the shell user of every Android may write and run programs."""
ANSWER_SECONDS = 20
_ADVICE = {
    "unauthorized": "it does not trust this machine yet: unlock it and confirm the question on its screen "
    "(Allow USB debugging)",
    "offline": "it is plugged in but does not answer: pull the cable and plug it in again, or restart adb "
    "(adb kill-server)",
    "no permissions": "this user may not use the USB device: install the udev rules "
    "(apt-get install android-sdk-platform-tools-common), or be in the group plugdev",
    "authorizing": "it is still connecting: try again",
    "connecting": "it is still connecting: try again",
}
"""State in `adb devices` → what to do. Other states (recovery, sideload, bootloader) run no programs."""


class Adb:
    """One device, found and checked.

    Raises:
        InputError: not "adb" or "adb:SERIAL".
        DeviceError: no adb, no device, several without a serial, or one in a state that runs nothing.
    """

    def __init__(self, device: str) -> None:
        kind, colon, serial = device.partition(":")
        if kind != "adb" or (colon and not serial) or serial.startswith("-") or " " in serial:
            raise InputError(f"device '{device}'; expected adb, or adb:SERIAL as `adb devices` lists it")
        if shutil.which("adb") is None:
            raise DeviceError(
                "'adb' is not on this machine; --device adb needs Android's platform tools, for example "
                "apt-get install adb"
            )
        self.serial = _choose(serial, self._devices())

    def shell(self, script: str, limit: float | None = None) -> str:
        """Run a script of the device's sh; `limit` in s, that of a short one by default.

        Returns:
            Its standard output.

        Raises:
            DeviceError: no answer in time, or it failed.
        """
        return self._call(["-s", self.serial, "shell", script], limit or ANSWER_SECONDS)

    def push(self, files: list[Path], folder: str, limit: float = 300) -> None:
        """Copy files into a folder of the device.

        Raises:
            DeviceError: they cannot be written there, for example because it is full.
        """
        self._call(["-s", self.serial, "push", *map(str, files), folder + "/"], limit)

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device.

        Raises:
            DeviceError: it cannot be read.
        """
        self._call(["-s", self.serial, "pull", source, str(target)], 60)

    def _devices(self) -> dict[str, str]:
        """Serial → state."""
        rows = (line.split(maxsplit=1) for line in self._call(["devices"], ANSWER_SECONDS).splitlines())
        # Its server announces itself in lines that begin with a star.
        return {row[0]: row[1].strip() for row in rows if len(row) == 2 and row[0] not in ("*", "List")}

    def _call(self, words: list[str], limit: float) -> str:
        name = f"adb:{self.serial}" if words[0] == "-s" else "adb"
        try:
            done = subprocess.run(
                ["adb", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"{name}: no answer within {limit:.0f} s; is it unlocked and plugged in? `adb reconnect` "
                "and `adb kill-server` help where it hangs"
            ) from None
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise DeviceError(f"{name}: {said[-1] if said else f'adb ended with status {done.returncode}'}")
        return done.stdout


def _choose(serial: str, found: dict[str, str]) -> str:
    """The device that is meant, if it can be used."""
    listed = ", ".join(f"{name} ({state})" for name, state in found.items())
    if not found:
        raise DeviceError(
            "adb finds no device: plug one in, switch on USB debugging (Settings, Developer options), and "
            "see that `adb devices` lists it"
        )
    if serial and serial not in found:
        raise DeviceError(f"adb finds no device {serial}; it finds {listed}")
    if not serial and len(found) > 1:
        raise DeviceError(f"adb finds {len(found)} devices: {listed}; say which: --device adb:SERIAL")
    serial = serial or next(iter(found))
    state = found[serial]
    if state != "device":
        advice = next((text for sign, text in _ADVICE.items() if state.startswith(sign)), None)
        raise DeviceError(f"adb:{serial} is {state}; {advice or 'start its Android, which runs programs'}")
    return serial
