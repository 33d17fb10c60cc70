"""What `rtmpose tune` chose against rtmlib on the fp32 files: the same picture, turn by turn.

python -m rtmpose_sdk.benchmarks.tuned profile.json --pose pose-tensor.onnx --detector detector-nms.onnx
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.benchmarks.candidates import crowd
from rtmpose_sdk.benchmarks.latency import measure
from rtmpose_sdk.benchmarks.peers import open_peer
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.images import read_image
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.profile import usable_profile

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def tuned(
    profile: Annotated[Path, typer.Argument(help="From rtmpose tune --out.")],
    pose: Annotated[str, typer.Option(help="The fp32 network that was tuned; input a tensor.")],
    detector: Annotated[str, typer.Option(help="The fp32 detector, with NMS in its graph.")],
    image: Annotated[Path, typer.Option(help="Picture of one person.")],
    persons: Annotated[list[int] | None, typer.Option(min=1, help="Default: 1, 4 and 8.")] = None,
    warm_up: Annotated[int, typer.Option(min=0)] = 50,
    runs: Annotated[int, typer.Option(min=1)] = 200,
) -> None:
    """Print medians of rtmlib, of the Pipeline on the same files, and of the tuned one."""
    threads = usable_profile(profile).pose.threads
    picture = read_image(image)
    height, width = picture.shape[:2]
    table = Table(
        "persons", "found", "rtmlib, ms", "same files, ms", "tuned, ms", "rtmlib / same", "rtmlib / tuned"
    )
    with (
        Pipeline(pose, detector, threads=threads, engine="onnxruntime") as same,
        Pipeline(profile=profile) as best,
    ):
        cv2.setNumThreads(threads or 1)
        rtmlib = open_peer("rtmlib", same)
        for count in persons or (1, 4, 8):
            scene, _ = crowd(picture, (0, 0, width, height), count)
            steps = {
                name: functools.partial(each, scene)
                for name, each in (("rtmlib", rtmlib), ("same", same), ("tuned", best))
            }
            found = measure(steps, warm_up, runs)
            times = [found[name].p50 for name in ("rtmlib", "same", "tuned")]
            numbers = "/".join(str(len(each(scene))) for each in (rtmlib, same, best))
            table.add_row(
                str(count),
                numbers,
                *(f"{t:.2f}" for t in times),
                f"{times[0] / times[1]:.2f}",
                f"{times[0] / times[2]:.2f}",
            )
    Console().print(table)


def main() -> None:
    """Entry point of `python -m rtmpose_sdk.benchmarks.tuned`."""
    run(app)


if __name__ == "__main__":
    main()
