"""Is the network or its data the limit? `python -m rtmpose_sdk.training.throughput`.

Compares, interleaved in one run, training steps on a batch that is there already with steps whose
batches are augmented as in training. Prints crops (or pictures) per second and their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.cli.run import run
from rtmpose_sdk.cli.train_choices import Device
from rtmpose_sdk.models import build_model
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.batches import Batches, batch_threads
from rtmpose_sdk.training.canvases import cut_canvases
from rtmpose_sdk.training.config import Precision
from rtmpose_sdk.training.depthwise import speed_up
from rtmpose_sdk.training.detector import DetectorTask
from rtmpose_sdk.training.devices import check_device
from rtmpose_sdk.training.initialize import channels_last
from rtmpose_sdk.training.loop import Task
from rtmpose_sdk.training.optimizer import Ema, build_optimizer
from rtmpose_sdk.training.persons import Source, read_keypoint_set, read_persons
from rtmpose_sdk.training.pictures import read_pictures
from rtmpose_sdk.training.pose import PoseTask

PADDING = 1.25
_PERSONS = 512

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def throughput(
    data: Annotated[Path, typer.Option(help="COCO-format annotations.")],
    images: Annotated[Path | None, typer.Option(help="Their pictures; default: images/ beside.")] = None,
    model: Annotated[str, typer.Option(help="rtmpose-t, rtmdet-nano, ...")] = "rtmpose-t",
    batch: Annotated[int, typer.Option(min=1)] = 32,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of measurements.")] = 5,
    steps: Annotated[int, typer.Option(min=2, help="Steps of a measurement.")] = 6,
    device: Annotated[Device, typer.Option(help="What trains.")] = Device.CPU,
    bf16: Annotated[bool, typer.Option("--bf16", help="Arithmetic in bf16.")] = False,
) -> None:
    """Print training samples per second: the network alone, and with its data."""
    precision: Precision = "bf16-mixed" if bf16 else "32-true"
    place = device.value
    check_device(place, precision)
    torch.set_num_threads(threads)
    task = _task(model, Source.of(data, images), batch, steps * (rounds + 1), place)
    fabric = Fabric(accelerator=place, devices=1, precision=precision)
    step = _step(task, fabric)
    ready = task.batch(0, 0, 1)
    for _ in range(2):
        step(ready)
    alone, together = [], []
    threads_ahead = batch_threads(place, allowed_cores(), 1)
    with Batches(lambda number: task.batch(number, 0, 1), 1, rounds * steps + 1, threads_ahead) as batches:
        for _ in range(rounds):
            alone.append(_timed(lambda: step(ready), steps, place))
            together.append(_timed(lambda: step(next(batches)[1]), steps, place))
    table = Table("samples per second", "median")
    table.add_row("network alone", f"{batch / statistics.median(alone):.1f}")
    table.add_row("with augmentation", f"{batch / statistics.median(together):.1f}")
    ratios = [a / b for a, b in zip(alone, together, strict=True)]
    table.add_row("ratio", f"{statistics.median(ratios):.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"{model}, batch {batch}, {threads} torch threads, {place}, {'bf16' if bf16 else 'fp32'}, "
        f"{rounds} x {steps} steps interleaved"
    )


def _task(model: str, source: Source, batch: int, steps: int, device: str) -> Task:
    if model.startswith("rtmdet"):
        network = build_model(model)
        channels_last(network)
        speed_up(network)
        return DetectorTask(network, read_pictures([source]), network.input_size, batch, steps, 0)
    keypoint_set = read_keypoint_set([source])
    persons = read_persons([source], len(keypoint_set))
    persons = persons.chosen(torch.arange(min(_PERSONS, len(persons))).numpy())
    pose = build_model(model, keypoint_set=len(keypoint_set))
    channels_last(pose)
    speed_up(pose)
    canvases = cut_canvases(persons, pose.input_size, PADDING)
    on_device = torch.device(device) if device != "cpu" else None
    return PoseTask(pose, canvases, keypoint_set, batch, steps, 0, on_device=on_device)


def _step(task: Task, fabric: Fabric) -> Callable[[Any], None]:
    network, optimizer = fabric.setup(task.network, build_optimizer(task.network, 1e-4, 0.0))
    ema = Ema(task.network)
    network.train()

    def step(batch: Any) -> None:
        loss = torch.stack(list(task.losses(network, batch, fabric.device).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimizer.step()
        ema.update(task.network)

    return step


def _timed(work: Callable[[], None], count: int, device: str) -> float:
    """Seconds of one call, on average."""
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(count):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / count


if __name__ == "__main__":
    run(app)
