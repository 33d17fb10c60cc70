"""Is this program one that the device can run?"""

from __future__ import annotations

import struct
from pathlib import Path

from rtmpose_sdk.errors import DeviceError, InputError

_MACHINES = {183: ("arm64-v8a",), 40: ("armeabi-v7a", "armeabi"), 62: ("x86_64",), 3: ("x86",)}
"""`e_machine` of an ELF file → Android's names of what runs it."""
_BUILD = "build it as docs/devices.md says (benchmarks/native) and name it: --native build/rtmpose-native"


def check_program(path: Path | None) -> Path:
    """The program, if there is one.

    Raises:
        InputError: there is none.
    """
    if path is None:
        raise InputError(f"--device adb needs the native program: {_BUILD}")
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such program; {_BUILD}")
    return path


def check_abi(program: Path, serial: str, abi: str) -> None:
    """A program of another processor would only say that it cannot be executed.

    Raises:
        InputError: it is no program.
        DeviceError: it is for another processor.
    """
    head = program.read_bytes()[:20]
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise InputError(f"{program}: not a program of Linux or Android (ELF); {_BUILD}")
    [machine] = struct.unpack_from("<H", head, 18)
    runs_on = _MACHINES.get(machine, ())
    if abi not in runs_on:
        raise DeviceError(
            f"adb:{serial} runs programs for {abi or 'an unknown processor'}, but {program.name} is "
            f"for {' and '.join(runs_on) or f'ELF machine {machine}'}; {_BUILD}"
        )
