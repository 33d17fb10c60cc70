"""How does a training run look in a terminal: its start, its progress, its end?"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rtmpose_sdk.errors import MissingExtraError, OutputError


def finish(work: Callable[[ModuleType, Shown], Path], folder: Path) -> None:
    """Run with a bar; an interruption says how to go on.

    Args:
        work: takes `rtmpose_sdk.training.run` and what shows its progress; gives the artifact.
        folder: the run's.

    Raises:
        MissingExtraError: the training extra is not installed.
        OutputError: the disk is full.
        typer.Exit: 130 after an interruption; everything is saved, or nothing was begun.
    """
    run, first = training_room(), _is_first()
    shown = Shown(Console(stderr=True))
    try:
        with shown.bars:
            artifact = work(run, shown)
    except KeyboardInterrupt:
        if first and (folder / "config.json").is_file():
            shown.say(f"stopped, everything is saved; go on with: rtmpose train --resume {folder}")
        elif first:
            shown.say("stopped, nothing was begun")
        raise typer.Exit(130) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OutputError(
            f"{folder}: no space is left for the run; make room, and go on with: rtmpose train --resume "
            f"{folder}"
        ) from None
    if first:
        typer.echo(f"artifact: {artifact}")


def _is_first() -> bool:
    """False in the processes that the first one of a run started."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def training_room() -> ModuleType:
    """The training room; torch and its companions are imported here, not before."""
    try:
        import lightning_fabric  # noqa: F401
        import matplotlib  # noqa: F401
        import onnx  # noqa: F401
        import onnxslim  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train", "rtmpose train") from None
    from rtmpose_sdk.training import run

    return run


class Shown:
    """Lines and a bar on standard error; a `rtmpose_sdk.training.progress.Progress`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        # What is no terminal would get an empty line of it; of several processes one draws.
        drawn = console.is_terminal and _is_first()
        self.bars = Progress(*columns, console=console, transient=True, disable=not drawn)
        self._steps: TaskID | None = None

    def say(self, text: str) -> None:
        """A line above the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        """Items, with a bar of their own."""
        known = list(items)
        bar = self.bars.add_task(what, total=len(known), figures="")
        for item in known:
            yield item
            self.bars.advance(bar)
        self.bars.remove_task(bar)

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        """Where the steps are; a line where nothing can be redrawn."""
        if self._steps is None or self.bars.tasks[-1].total != total:
            self._steps = self.bars.add_task("steps", total=total, figures="")
        text = f"loss {figures['loss']:.3f}"
        self.bars.update(self._steps, completed=done, figures=text)
        if not self.console.is_terminal:
            self.say(f"step {done} of {total}: {text}, {figures['steps_per_second']:.2f} steps/s")
