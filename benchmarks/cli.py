"""`rtmpose-bench`: how long does a person, or a picture, take on this machine?"""

from __future__ import annotations

import json
import platform
from importlib import resources
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.latency import MEASURED_RUNS, WARM_UP_RUNS, measure
from rtmpose_sdk.benchmarks.stages import detect_steps, pipeline_steps, pose_steps
from rtmpose_sdk.cli.options import DetectorOption, DeviceOption, Pose, Threads
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.geometry import check_boxes
from rtmpose_sdk.images import read_image, write_bytes
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.zoo import DEFAULT_POSE

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def bench(
    pose: Pose = DEFAULT_POSE,
    detector: DetectorOption = None,
    device: DeviceOption = "cpu",
    threads: Threads = None,
    image: Annotated[
        Path | None, typer.Option(help="Picture to run on; default: the bundled photograph.")
    ] = None,
    box: Annotated[
        tuple[float, float, float, float] | None, typer.Option(help="The person, x1 y1 x2 y2 px.")
    ] = None,
    warm_up: Annotated[int, typer.Option(min=0, help="Runs before measuring.")] = WARM_UP_RUNS,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs.")] = MEASURED_RUNS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Time a model by the paper's protocol (A.2): 50 warm-up and 200 measured runs, batch 1.

    Steps are interleaved run by run; `x bare` is the ratio of medians to the engine's own call.
    """
    photo = image or Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg")))
    picture = read_image(photo)
    height, width = picture.shape[:2]
    boxes = check_boxes([box] if box else [[0, 0, width, height]], (width, height))
    with Pipeline(pose, detector, device, threads) as pipeline:
        predictor = pipeline.predictor
        cv2.setNumThreads(predictor.runtime.threads)
        steps = pose_steps(predictor, picture, boxes)
        if pipeline.detector is not None:
            steps |= detect_steps(pipeline.detector, picture) | pipeline_steps(pipeline, picture)
        found = measure(steps, warm_up, runs)
        runtime = predictor.runtime
        setting = {
            "sdk": __version__,
            "engine": runtime.engine,
            "device": str(runtime.device),
            "threads": runtime.threads,
            "processor": _processor(),
            "pose": f"{predictor.card.name} ({runtime.path.name})",
            "detector": pipeline.detector.card.name if pipeline.detector else None,
            "persons": 1,
            "picture": f"{photo.name} {width}x{height}",
            "warm_up": warm_up,
            "runs": runs,
        }
    table = Table("ms", "mean", "p50", "p90", "p99", "fps", "x bare")
    for name, took in found.items():
        bare = found["detector, bare engine" if name.startswith("detector") else "bare engine"]
        ratio = "" if name == "pipeline" else f"{took.p50 / bare.p50:.3f}"
        cells = (took.mean, took.p50, took.p90, took.p99)
        table.add_row(name, *(f"{c:.3f}" for c in cells), f"{took.fps:.1f}", ratio)
    console = Console()
    console.print(table)
    console.print(", ".join(f"{k} {v}" for k, v in setting.items() if v is not None), soft_wrap=True)
    if json_file is not None:
        report = {"setting": setting, "ms": {n: t.as_dict() for n, t in found.items()}}
        write_bytes(json_file, json.dumps(report, indent=1).encode())


def _processor() -> str:
    """The processor's name; platform.processor() is empty or "x86_64" on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Entry point of `rtmpose-bench`."""
    run(app)
