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
from rtmpose_sdk.benchmarks.latency import SPINNING, measure
from rtmpose_sdk.benchmarks.peers import open_peer
from rtmpose_sdk.benchmarks.stages import Step, detect_steps, pose_steps
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
    """Print medians of rtmlib, of the engines' bare calls, of our Pipeline on the same files, and tuned.

    rtmlib / engines is the most that a pipeline on the same engine and files can reach.
    """
    threads = usable_profile(profile).pose.threads
    picture = read_image(image)
    height, width = picture.shape[:2]
    times = ("rtmlib", "engines", "same", "tuned")
    table = Table(
        "persons", "found", *(f"{name}, ms" for name in times), *(f"rtmlib / {n}" for n in times[1:])
    )
    with (
        Pipeline(pose, detector, threads=threads, engine="onnxruntime") as same,
        Pipeline(profile=profile) as best,
    ):
        cv2.setNumThreads(threads or 1)
        rtmlib, finder = open_peer("rtmlib", same), same.detector
        assert finder is not None
        for count in persons or (1, 4, 8):
            scene, _ = crowd(picture, (0, 0, width, height), count)
            bare = [
                pose_steps(same.top_down(), scene, same(scene).boxes)["bare engine"],
                detect_steps(finder, scene)["detector, bare engine"],
            ]
            steps = {
                "engines": functools.partial(_both, bare),
                **{
                    name: functools.partial(each, scene)
                    for name, each in (("rtmlib", rtmlib), ("same", same), ("tuned", best))
                },
            }
            found = measure(steps, warm_up, runs, rest=SPINNING if (threads or 1) > 1 else 0.0)
            took = [found[name].p50 for name in times]
            numbers = "/".join(str(len(each(scene))) for each in (rtmlib, same, best))
            table.add_row(
                *(str(count), numbers),
                *(f"{t:.2f}" for t in took),
                *(f"{took[0] / t:.2f}" for t in took[1:]),
            )
    Console().print(table)


def _both(calls: list[Step]) -> None:
    for call in calls:
        call()


def main() -> None:
    """Entry point of `python -m rtmpose_sdk.benchmarks.tuned`."""
    run(app)


if __name__ == "__main__":
    main()
