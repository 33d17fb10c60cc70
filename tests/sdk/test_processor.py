"""The processor's name and abilities, on systems that say them in other places."""

from __future__ import annotations

import platform
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtmpose_sdk.processor import instruction_sets, processor_name

XEON = (
    "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Xeon(R)\nflags\t\t: fpu avx avx2 fma\n\nprocessor\t: 1\n"
)
ARM64 = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\n"
PI = ARM64 + "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
ARMV7 = "processor\t: 0\nmodel name\t: ARMv7 Processor rev 4 (v7l)\nFeatures\t: half neon\n"


@pytest.mark.parametrize(
    ("cpuinfo", "board", "name", "able"),
    [
        (XEON, None, "Xeon(R)", ["avx", "avx2", "fma"]),
        (ARM64, b"NVIDIA Jetson Orin Nano\0", "NVIDIA Jetson Orin Nano", ["asimd", "asimddp"]),
        (PI, None, "Raspberry Pi 4 Model B Rev 1.4", ["asimd", "asimddp"]),
        (ARMV7, b"Raspberry Pi 3\0", "Raspberry Pi 3", ["neon"]),
        (ARMV7, None, "ARMv7 Processor rev 4 (v7l)", ["neon"]),
    ],
)
def test_boards_have_names(
    tmp_path: Path, cpuinfo: str, board: bytes | None, name: str, able: list[str]
) -> None:
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo)
    if board is not None:
        (tmp_path / "proc" / "device-tree" / "model").write_bytes(board)
    assert processor_name(tmp_path) == name
    assert instruction_sets(tmp_path) == able


def test_the_name_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sysctl"
    program.write_text("#!/bin/sh\n[ \"$*\" = '-n machdep.cpu.brand_string' ] && echo 'Apple M2 Pro'\n")
    program.chmod(0o755)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert processor_name(tmp_path) == "Apple M2 Pro"
    program.unlink()
    assert processor_name(tmp_path) == "arm"


def test_the_name_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ("HKLM", r"HARDWARE\DESCRIPTION\System\CentralProcessor\0", "ProcessorNameString")
    registry = {key: ("Intel(R) Core(TM) i7-1185G7   ", 1)}

    def value(place: tuple[str, str], name: str) -> tuple[str, int]:
        try:
            return registry[(*place, name)]
        except KeyError:
            raise FileNotFoundError(2, "not there") from None

    stand_in = SimpleNamespace(
        HKEY_LOCAL_MACHINE="HKLM", OpenKey=lambda *place: nullcontext(place), QueryValueEx=value
    )
    monkeypatch.setitem(sys.modules, "winreg", stand_in)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "processor", lambda: "Intel64 Family 6")
    assert processor_name(tmp_path) == "Intel(R) Core(TM) i7-1185G7"
    registry.clear()
    assert processor_name(tmp_path) == "Intel64 Family 6"


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert processor_name(tmp_path)
    assert instruction_sets(tmp_path) == []
