"""Which device is this? The machine record of an Android, in the words of `machine_record`."""

from __future__ import annotations

from typing import Any

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.remote.adb import Adb
from rtmpose_sdk.processor import INSTRUCTION_SETS

_ASK = """
p() { echo "$1=$(getprop "$2")"; }
p maker ro.product.manufacturer; p model ro.product.model; p soc ro.soc.model; p board ro.board.platform
p android ro.build.version.release; p abi ro.product.cpu.abi
f() { echo "$1=$(head -n 1 "$2" 2>/dev/null)"; }
f governor /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
f load /proc/loadavg
echo "flags=$(grep -m 1 -E '^(Features|flags)' /proc/cpuinfo 2>/dev/null | cut -d: -f2)"
echo "kernel=$(uname -r)"
echo "cores=$(nproc 2>/dev/null)"
"""


def ask(adb: Adb) -> dict[str, str]:
    """What the device says of itself; "" for what it does not say.

    Raises:
        DeviceError: it does not answer.
    """
    pairs = (line.partition("=") for line in adb.shell(_ASK).splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def android_record(said: dict[str, str], ncnn: str) -> dict[str, Any]:
    """As `machine_record` says it of this machine; `ncnn` is the version that ran there."""
    flags = set(said.get("flags", "").split())
    load = said.get("load", "").split()
    chip = said.get("soc") or said.get("board") or "unknown chip"
    return {
        "sdk": __version__,
        "processor": f"{said.get('maker', '')} {said.get('model', '')}, {chip}".strip(),
        "instruction sets": [name for name in INSTRUCTION_SETS if name in flags],
        "governor": said.get("governor") or "unknown",
        "cores": int(said["cores"]) if said.get("cores", "").isdigit() else None,
        "gpu": None,
        "system": ", ".join(
            f"{name} {said.get(key, '')}".strip()
            for name, key in (("Android", "android"), ("Linux", "kernel"), ("", "abi"))
        ),
        "engines": {"ncnn": ncnn},
        "load before": float(load[0]) if load else None,
        "timer": "steady_clock of the native program; outputs are in memory when a run ends",
    }
