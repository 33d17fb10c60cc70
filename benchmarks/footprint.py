"""What does the SDK cost besides the network's time? Import, one command, memory against persons.

Run it with `python -m rtmpose_sdk.benchmarks.footprint`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rtmpose_sdk.benchmarks.machine import peak_memory

FEW, MANY = 20, 200
"""Persons whose memory is compared."""

_IMPORT = "import time; import rtmpose_sdk; print(time.process_time())"
_BARE = "import time; print(time.process_time())"
_PREDICT = """
import sys, time
start = time.perf_counter()
sys.argv = ["rtmpose", "predict", {photo!r}, "--boxes", "full", "--out", {out!r}]
from rtmpose_sdk.cli.main import main
try:
    main()
except SystemExit:
    pass
print(time.perf_counter() - start)
"""
_MEMORY = """
import numpy as np
from rtmpose_sdk import Predictor, read_image
predictor = Predictor("rtmpose-t-own")
photo = read_image({photo!r})
for _ in range(3):
    predictor(photo, np.tile(np.array([[0, 0, 512, 512]], np.float32), ({persons}, 1)))
from rtmpose_sdk.benchmarks.machine import peak_memory
print(peak_memory())
"""


def _last_number(code: str, repeats: int = 1) -> float:
    """The least of the last printed numbers of fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        return min(
            float(
                subprocess.run(
                    [sys.executable, "-c", code],
                    capture_output=True,
                    encoding="utf-8",
                    errors="replace",
                    check=True,
                    cwd=folder,
                ).stdout.split()[-1]
            )
            for _ in range(repeats)
        )


def main() -> None:
    """Print the table."""
    if peak_memory() is None:
        raise SystemExit("footprint: this system does not say a process's peak memory; Linux and macOS do")
    photo = str(Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg"))))
    with tempfile.TemporaryDirectory() as out:
        bare = _last_number(_BARE, 5)
        imported = _last_number(_IMPORT, 5)
        command = _last_number(_PREDICT.format(photo=photo, out=out), 3)
    few, many = (_last_number(_MEMORY.format(photo=photo, persons=n)) for n in (FEW, MANY))
    table = Table("footprint", "value")
    table.add_row("import rtmpose_sdk, CPU s", f"{imported:.3f} (Python alone {bare:.3f})")
    table.add_row("rtmpose predict, one picture, s", f"{command:.3f}")
    table.add_row(f"peak memory, {FEW} persons, MB", f"{few:.0f}")
    table.add_row(f"peak memory, {MANY} persons, MB", f"{many:.0f}")
    table.add_row(f"memory of {MANY} / of {FEW}", f"{many / few:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
