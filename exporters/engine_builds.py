"""How long does TensorRT for RTX take to build, for GPUs that are not here? A table.

python -m rtmpose_sdk.exporters.engine_builds
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.batch_profile import parse_batch
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import build_onnx
from rtmpose_sdk.exporters.tensorrt import write_tensorrt
from rtmpose_sdk.models import build_model
from rtmpose_sdk.models.build import DEFAULT_DETECT_SIZE, DEFAULT_POSE_SIZE

MODELS = ("rtmpose-t", "rtmpose-s", "rtmpose-m", "rtmpose-l", "rtmdet-nano")
TARGETS = ("sm75", "sm86", "sm89", "sm120")


def measure(name: str, targets: list[str], batch: str, folder: Path) -> list[tuple[float, float]]:
    """Seconds and MB of each target's fp16 engine; the weights are random."""
    network, card = _random(name)
    card = replace(card, letterbox="full", precision="fp16")
    graph = half_graph(build_onnx(network, card))
    path = folder / f"{name}.engine"
    found = []
    for target in targets:
        start = time.perf_counter()
        write_tensorrt(graph, card, path, batch=parse_batch(batch), targets=(target,))
        found.append((time.perf_counter() - start, path.stat().st_size / 1e6))
    return found


def _random(name: str) -> tuple[nn.Module, ModelCard]:
    if name.startswith("rtmdet"):
        size = DEFAULT_DETECT_SIZE.get(name, (640, 640))
        return build_model(name, input_size=size).eval(), new_card(name, size)
    network = build_model(name, keypoint_set="coco17")
    return network.eval(), new_card(name, DEFAULT_POSE_SIZE, "coco17")


def main(
    model: Annotated[list[str], typer.Option(help="Network; repeatable.")] = list(MODELS),  # noqa: B006
    target: Annotated[list[str], typer.Option(help="Compute capability; repeatable.")] = list(TARGETS),  # noqa: B006
    batch: Annotated[str, typer.Option(help="Profile, MIN:OPT:MAX.")] = "1:1:8",
) -> None:
    """Build fp16 engines from the graph on, and print seconds and size of each."""
    table = Table("fp16 engine, s (MB)", *target)
    with tempfile.TemporaryDirectory() as folder:
        for name in model:
            cells = measure(name, target, batch, Path(folder))
            table.add_row(name, *(f"{seconds:.2f} ({size:.1f})" for seconds, size in cells))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
