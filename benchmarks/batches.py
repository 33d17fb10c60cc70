"""How long does the network take for a batch? One table over batch sizes and precisions.

python -m rtmpose_sdk.benchmarks.batches --pose FILE --device cuda
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.artifacts import open_model
from rtmpose_sdk.benchmarks.latency import MEASURED_RUNS, WARM_UP_RUNS, Latency, OwnClock, measure
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.runtimes import Runtime
from rtmpose_sdk.zoo import DEFAULT_POSE

BATCHES = (1, 8, 32, 128)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def batches(
    pose: Annotated[str, typer.Option(help="Pose model.")] = DEFAULT_POSE,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    engine: Annotated[str | None, typer.Option(help="Engine that reads the file.")] = None,
    precision: Annotated[list[str], typer.Option(help="fp32, fp16, bf16; repeatable.")] = [],  # noqa: B006
    batch: Annotated[list[int], typer.Option(min=1, help="Crops of a run; repeatable.")] = list(BATCHES),  # noqa: B006
    threads: Annotated[int, typer.Option(min=1)] = 1,
    warm_up: Annotated[int, typer.Option(min=0)] = WARM_UP_RUNS,
    runs: Annotated[int, typer.Option(min=1)] = MEASURED_RUNS,
) -> None:
    """Print medians of the network alone, ms, all precisions of a batch interleaved.

    On a GPU the copies in and out belong to it, and its own events are the clock.
    """
    asked: list[str | None] = [*precision] or [None]
    opened = [
        open_model(pose, "pose", device, threads=threads, precision=one, engine=engine).runtime
        for one in asked
    ]
    table = Table("batch", "arithmetic", "ms", "p99 ms", "ms a crop", "crops/s", "x the first")
    try:
        for size in batch:
            found = times(opened, size, warm_up, runs)
            for runtime, took in zip(opened, found, strict=True):
                table.add_row(
                    str(size),
                    runtime.arithmetic,
                    f"{took.p50:.3f}",
                    f"{took.p99:.3f}",
                    f"{took.p50 / size:.4f}",
                    f"{1000 * size / took.p50:.0f}",
                    f"{found[0].p50 / took.p50:.2f}",
                )
    finally:
        for runtime in opened:
            runtime.close()
    console = Console()
    console.print(table)
    first = opened[0]
    console.print(
        f"{first.path.name}, {first.engine}, {first.device}, {first.threads} threads, "
        f"{warm_up} + {runs} runs",
        soft_wrap=True,
    )


def times(runtimes: list[Runtime], size: int, warm_up: int, runs: int) -> list[Latency]:
    """Figures of each runtime for random crops.

    Args:
        runtimes: of one model's file.
        size: crops of a run.
        warm_up, runs: rounds that do not count, and rounds that do.
    """
    steps: dict[str, Callable[[], object]] = {}
    for number, runtime in enumerate(runtimes):
        spec = runtime.inputs[0]
        shape = (size, *(side or 1 for side in spec.shape[1:]))
        crops = np.random.default_rng(0).integers(0, 255, shape).astype(spec.dtype)
        events = runtime.by_events(crops)
        steps[str(number)] = OwnClock(events) if events else runtime.bare(crops)
    found = measure(steps, warm_up, runs)
    return [found[name] for name in steps]


def main() -> None:
    """Run the command."""
    run(app)


if __name__ == "__main__":
    main()
