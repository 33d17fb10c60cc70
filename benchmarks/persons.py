"""What does a person more cost? The pose part for 1 to 16 persons, and the straight line through it.

python -m rtmpose_sdk.benchmarks.persons --pose FILE
"""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.benchmarks.candidates import crowd
from rtmpose_sdk.benchmarks.latency import MEASURED_RUNS, WARM_UP_RUNS, measure
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.images import read_image
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.zoo import DEFAULT_POSE

PERSONS = (1, 2, 4, 8, 16)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Line(NamedTuple):
    """ms = first + each * persons.

    Attributes:
        first, each: ms.
        explained: R squared, 1 where all lies on the line.
    """

    first: float
    each: float
    explained: float


def fit(persons: tuple[int, ...], times: list[float]) -> Line:
    """Least squares."""
    each, first = np.polyfit(persons, times, 1)
    left = np.square(np.array(times) - (first + each * np.array(persons))).sum()
    explained = 1 - left / np.square(np.array(times) - np.mean(times)).sum()
    return Line(float(first), float(each), float(explained))


@app.command()
def persons(
    pose: Annotated[str, typer.Option(help="Pose model.")] = DEFAULT_POSE,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    engine: Annotated[str | None, typer.Option(help="Engine that reads the file.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    warm_up: Annotated[int, typer.Option(min=0)] = WARM_UP_RUNS,
    runs: Annotated[int, typer.Option(min=1)] = MEASURED_RUNS,
) -> None:
    """Print medians, ms, and the line through them."""
    picture = read_image(Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg"))))
    height, width = picture.shape[:2]
    cv2.setNumThreads(threads)
    with Predictor(pose, device, threads=threads, engine=engine) as predictor:
        steps = {
            str(n): functools.partial(predictor, *crowd(picture, (0, 0, width, height), n)) for n in PERSONS
        }
        found = measure(steps, warm_up, runs)
    times = [found[str(n)].p50 for n in PERSONS]
    table = Table("persons", "ms", "ms a person", "x one person")
    for n, took in zip(PERSONS, times, strict=True):
        table.add_row(str(n), f"{took:.2f}", f"{took / n:.2f}", f"{took / times[0]:.2f}")
    console = Console()
    console.print(table)
    line = fit(PERSONS, times)
    console.print(
        f"{line.first:.2f} ms and {line.each:.2f} ms a person, R squared {line.explained:.4f}; "
        f"{predictor.card.name}, {threads} threads, {found['1'].runs} runs",
        soft_wrap=True,
    )


def main() -> None:
    """Entry point of `python -m rtmpose_sdk.benchmarks.persons`."""
    run(app)


if __name__ == "__main__":
    main()
