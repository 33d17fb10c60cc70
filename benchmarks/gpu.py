"""Which NVIDIA GPU does a device mean?"""

from __future__ import annotations

import itertools
import os
import subprocess

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu_and_driver(device: str) -> tuple[str | None, str | None]:
    """Name and driver of the NVIDIA GPU that is used, from NVIDIA's own tool."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return pick_gpu([row for row in rows if len(row) == 4], device, os.environ.get(_VISIBLE))


def pick_gpu(rows: list[list[str]], device: str, visible: str | None) -> tuple[str | None, str | None]:
    """Name and driver of the GPU that a device means.

    Args:
        rows: index, uuid, name, driver of each that there is.
        device: "cuda:1" is the second one that the process sees; what names no CUDA device, the first.
        visible: CUDA_VISIBLE_DEVICES: indices or uuids (or their beginnings) in their order; None is all.
    """
    kind, _, index = device.partition(":")
    number = int(index) if kind == "cuda" and index.isdigit() else 0
    seen = rows
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        picked = [next((row for row in rows if _is(row, name)), None) for name in names]
        # CUDA does not see what comes after a name that is no GPU's.
        seen = [row for row in itertools.takewhile(lambda row: row is not None, picked) if row is not None]
    return (seen[number][2], seen[number][3]) if number < len(seen) else (None, None)


def _is(row: list[str], name: str) -> bool:
    return row[0] == name if name.isdigit() else row[1].startswith(name)
