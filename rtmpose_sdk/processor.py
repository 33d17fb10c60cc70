"""What is this machine's processor called, and what can it do?"""

from __future__ import annotations

import platform
from pathlib import Path

INSTRUCTION_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16", "neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve"),
)
"""Those that decide how fast a network runs."""
_CORE_ONLY = "ARM"
"""32-bit kernels give the core's architecture as the model's name: "ARMv7 Processor rev 4 (v7l)"."""


def processor_name(root: Path = Path("/")) -> str:
    """The model's name; of an ARM board, which has none, the board's name."""
    lines = _cpuinfo(root)
    name = lines.get("model name", "")
    if name and not name.startswith(_CORE_ONLY):
        return name
    return lines.get("Model") or _board(root) or name or platform.processor() or platform.machine()


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


def _board(root: Path) -> str:
    try:
        text = (root / "proc/device-tree/model").read_text("utf-8", "replace")
    except OSError:
        return ""
    return text.strip("\0 \n")
