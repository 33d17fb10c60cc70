"""What is this machine's processor called, and what can it do?"""

from __future__ import annotations

import platform
import subprocess
from importlib import import_module
from pathlib import Path

INSTRUCTION_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16", "neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve"),
)
"""Those that decide how fast a network runs."""
_CORE_ONLY = "ARM"
"""32-bit kernels give the core's architecture as the model's name: "ARMv7 Processor rev 4 (v7l)"."""

_WINDOWS_KEY = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"


def processor_name(root: Path = Path("/")) -> str:
    """The model's name; of an ARM board, which has none, the board's name."""
    lines = _cpuinfo(root)
    name = lines.get("model name", "")
    if name and not name.startswith(_CORE_ONLY):
        return name
    found = lines.get("Model") or _board(root) or name or _system_name()
    return found or platform.processor() or platform.machine()


def instruction_sets(root: Path = Path("/")) -> list[str]:
    """Those of `INSTRUCTION_SETS` that it has; empty where the system does not say."""
    lines = _cpuinfo(root)
    flags = (lines.get("flags") or lines.get("Features") or "").split()
    return [name for name in INSTRUCTION_SETS if name in flags]


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first value of each line; platform.processor() is empty or "x86_64" on Linux."""
    found: dict[str, str] = {}
    try:
        text = (root / "proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return found
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _system_name() -> str:
    """What macOS and Windows call it: platform.processor() says "arm" and "Intel64 Family 6 Model 85"."""
    try:
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True
            ).stdout.strip()
        if platform.system() == "Windows":
            winreg = import_module("winreg")
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _WINDOWS_KEY) as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return ""


def _board(root: Path) -> str:
    try:
        text = (root / "proc/device-tree/model").read_text("utf-8", "replace")
    except OSError:
        return ""
    return text.strip("\0 \n")
