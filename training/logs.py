"""What happened in a run, as CSV that any tool reads, and for TensorBoard where that is asked for."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rtmpose_sdk.images import write_bytes

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

STEPS, FIGURES = "log.csv", "figures.csv"


class Log:
    """Appends to a run's two tables.

    Args:
        folder: the run.
        done: steps that were done; later rows, of a run that was killed after its last save, go.
        evaluated: the last step that was evaluated; figures of later ones go.
        tensorboard: also write events, into `tensorboard/`.
    """

    def __init__(self, folder: Path, done: int, evaluated: int, tensorboard: bool = False) -> None:
        self._folder = folder
        self._events: SummaryWriter | None = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            # Events after `done` are those of a run that was killed; TensorBoard hides them.
            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        _truncate(folder / STEPS, done)
        _truncate(folder / FIGURES, evaluated)

    def step(self, step: int, figures: dict[str, float]) -> None:
        """Means of the steps since the last row."""
        _append(self._folder / STEPS, step, figures)
        self._show("train", step, figures)

    def evaluation(self, step: int, figures: dict[str, float]) -> None:
        """Figures of the averaged network."""
        _append(self._folder / FIGURES, step, figures)
        self._show("evaluation", step, figures)

    def _show(self, group: str, step: int, figures: dict[str, float]) -> None:
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(f"{group}/{name}", value, step)
            self._events.flush()


class Means:
    """Means of the steps since they were last asked for, and how fast those steps were."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0
        self._since = time.perf_counter()

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, values: Mapping[str, float]) -> None:
        """One step's."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time that is spent on something else does not count."""
        begin = time.perf_counter()
        yield
        self._since += time.perf_counter() - begin

    def take(self) -> dict[str, float]:
        """The means, of at least one step, and steps per second."""
        now = time.perf_counter()
        figures = {name: value / self._count for name, value in self._sums.items()}
        figures["steps_per_second"] = self._count / (now - self._since)
        self._sums, self._count, self._since = {}, 0, now
        return figures


def read_log(file: Path) -> dict[str, list[float]]:
    """Columns of a table by name; empty where there is none."""
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}


def _append(file: Path, step: int, figures: dict[str, float]) -> None:
    new = not file.is_file()
    with file.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", *figures])
        writer.writerow([step, *(f"{value:.6g}" for value in figures.values())])


def _truncate(file: Path, done: int) -> None:
    if not file.is_file():
        return
    lines = file.read_text("utf-8").splitlines()
    kept = [line for line in lines[1:] if int(line.split(",")[0]) <= done]
    write_bytes(file, "\n".join([*lines[:1], *kept, ""]).encode())
