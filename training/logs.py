"""What happened in a run, as CSV that any tool reads."""

from __future__ import annotations

import csv
from pathlib import Path

STEPS, FIGURES = "log.csv", "figures.csv"


class Log:
    """Appends to a run's two tables.

    Args:
        folder: the run.
        done: steps that were done; later rows, of a run that was killed after its last save, go.
    """

    def __init__(self, folder: Path, done: int) -> None:
        self._folder = folder
        for name in (STEPS, FIGURES):
            _truncate(folder / name, done)

    def step(self, step: int, figures: dict[str, float]) -> None:
        """Means of the steps since the last row."""
        _append(self._folder / STEPS, step, figures)

    def evaluation(self, step: int, figures: dict[str, float]) -> None:
        """Figures of the averaged network."""
        _append(self._folder / FIGURES, step, figures)


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
    file.write_text("\n".join([*lines[:1], *kept, ""]), "utf-8")
