"""What does the harness add to what it measures? Its median of a bare engine against a hand-written loop's.

Run it with `python -m rtmpose_sdk.benchmarks.overhead`.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer

from rtmpose_sdk.artifacts import open_model
from rtmpose_sdk.benchmarks.latency import measure
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.zoo import DEFAULT_POSE

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def overhead(
    pose: Annotated[str, typer.Option(help="Pose model.")] = DEFAULT_POSE,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Ratios to take the median of.")] = 10,
    runs: Annotated[int, typer.Option(min=1, help="Runs of either for a ratio.")] = 100,
) -> None:
    """Print both medians, ms, in each repeat, and the median of their ratios."""
    runtime, _ = open_model(pose, "pose", threads=threads)
    with runtime:
        spec = runtime.inputs[0]
        array = np.zeros([d or 1 for d in spec.shape], spec.dtype)
        call = runtime.bare(array)
        ratios = []
        for repeat in range(repeats):
            # One run of each in turn: the machine drifts by more than the harness can cost.
            ours, hand = [], []
            for turn in range(runs):
                for which in (turn % 2, 1 - turn % 2):
                    if which:
                        start = time.perf_counter_ns()
                        call()
                        hand.append((time.perf_counter_ns() - start) / 1e6)
                    else:
                        ours.append(measure({"bare engine": call}, 0, 1)["bare engine"].p50)
            ratios.append(float(np.median(ours) / np.median(hand)))
            print_line = f"{repeat + 1}: harness {np.median(ours):.4f} ms, by hand {np.median(hand):.4f} ms"
            typer.echo(f"{print_line}, ratio {ratios[-1]:.4f}")
    typer.echo(f"median of {repeats} ratios: {np.median(ratios):.4f}")


def main() -> None:
    """Entry point of `python -m rtmpose_sdk.benchmarks.overhead`."""
    run(app)


if __name__ == "__main__":
    main()
