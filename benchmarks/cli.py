"""`rtmpose-bench`: how long does a person, or a picture, take on this machine?"""

from __future__ import annotations

import json
import platform
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.latency import MEASURED_RUNS, WARM_UP_RUNS, measure
from rtmpose_sdk.benchmarks.stages import detect_steps, pipeline_steps, pose_steps
from rtmpose_sdk.cli.options import DetectorOption, DeviceOption, Threads
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
    pose: Annotated[
        list[str], typer.Option(help="Pose model: a name, an ONNX file, an SDK folder; repeatable.")
    ] = [DEFAULT_POSE],  # noqa: B006 - typer reads the default and copies it
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
    """Time models by the paper's protocol (A.2): 50 warm-up and 200 measured runs, batch 1.

    Several pose models are timed one after the other. A model's steps are interleaved run by run; `x bare`
    is the ratio of medians to the engine's own call.
    """
    photo = image or Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg")))
    picture = read_image(photo)
    height, width = picture.shape[:2]
    boxes = check_boxes([box] if box else [[0, 0, width, height]], (width, height))
    common = {"picture": f"{photo.name} {width}x{height}", "warm_up": warm_up, "runs": runs}
    reports = []
    for model in pose:
        with Pipeline(model, detector, device, threads) as pipeline:
            report = _report(pipeline, picture, boxes, warm_up, runs)
        report["setting"] |= common
        _print(report)
        reports.append(report)
    if json_file is not None:
        write_bytes(json_file, json.dumps(reports, indent=1).encode())


def _report(
    pipeline: Pipeline,
    picture: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    warm_up: int,
    runs: int,
) -> dict[str, dict[str, Any]]:
    """What was run, and milliseconds of its steps."""
    predictor, detector = pipeline.top_down(), pipeline.detector
    runtime = predictor.runtime
    cv2.setNumThreads(runtime.threads)
    steps = pose_steps(predictor, picture, boxes)
    if detector is not None:
        steps |= detect_steps(detector, picture) | pipeline_steps(pipeline, picture)
    found = measure(steps, warm_up, runs)
    setting = {
        "sdk": __version__,
        "engine": runtime.engine,
        "device": str(runtime.device),
        "threads": runtime.threads,
        "processor": _processor(),
        "pose": f"{predictor.card.name} ({runtime.path.name})",
        "detector": detector.card.name if detector else None,
        "persons": 1,
    }
    return {"setting": setting, "ms": {name: took.as_dict() for name, took in found.items()}}


def _print(report: dict[str, dict[str, Any]]) -> None:
    """The table of one report, and the line that says what was run."""
    found = report["ms"]
    table = Table("ms", "mean", "p50", "p90", "p99", "fps", "x bare")
    for name, took in found.items():
        bare = found["detector, bare engine" if name.startswith("detector") else "bare engine"]
        ratio = "" if name == "pipeline" else f"{took['p50'] / bare['p50']:.3f}"
        cells = (f"{took[key]:.3f}" for key in ("mean", "p50", "p90", "p99"))
        table.add_row(name, *cells, f"{took['fps']:.1f}", ratio)
    console = Console()
    console.print(table)
    setting = ", ".join(f"{k} {v}" for k, v in report["setting"].items() if v is not None)
    console.print(setting, soft_wrap=True)


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
