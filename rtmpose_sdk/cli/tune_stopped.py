"""`rtmpose tune`, stopped by Ctrl-C: what was measured so far is shown and kept, and is no profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.profile import this_machine

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.tune import Stopped

STATUS = 130
"""Of a command that Ctrl-C ended: 128 + SIGINT."""


def report(stopped: Stopped, out: Path | None) -> None:
    """Print medians of whole rounds; with `--out NAME.json`, write them to NAME.partial.json."""
    console = Console()
    for title, measured, of in (
        ("a call of the network", stopped.settings.items(), "setting"),
        ("a frame of the clip", [(n, p.ms) for n, p in stopped.pipelines.items()], "pipeline"),
    ):
        table = Table(of, "ms", title=f"so far: {title}", title_justify="left")
        for name, took in sorted(measured, key=lambda row: row[1]):
            table.add_row(name, f"{took:.2f}")
        if table.row_count:
            console.print(table)
    said = "stopped before the end: no profile is written"
    if out is not None:
        target = out.with_name(f"{out.stem}.partial.json")
        content = {
            "rtmpose_tune_partial": 1,
            "machine": this_machine(),
            "settings, ms": stopped.settings,
            "pipelines": {name: point._asdict() for name, point in stopped.pipelines.items()},
        }
        write_bytes(target, json.dumps(content, indent=1).encode())
        said += f"; these figures are in {target}"
    console.print(said, markup=False, soft_wrap=True)
