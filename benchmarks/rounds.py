"""How far is a measurement? A bar on the terminal that takes no time from what is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 0.5
"""s between two drawings, which take 2 ms each."""


@contextmanager
def rounds_shown(total: int) -> Iterator[Callable[[int], None]]:
    """Give what is to be called, after each round, with the number of rounds done.

    The bar is drawn then, and never by a thread of its own, which would run beside what is timed. Where
    stderr is no terminal there is none.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task("measuring, rounds", total=total)
        due = 0.0

        def done(rounds: int) -> None:
            nonlocal due
            now = time.monotonic()
            if now >= due:
                due = now + _EVERY
                progress.update(bar, completed=rounds, refresh=True)

        yield done
