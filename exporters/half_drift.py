"""How far do keypoints move in half precision, on real crops? The mixed graph beside a plain cast.

python -m rtmpose_sdk.exporters.half_drift --weights W.pth --images DIR --annotations COCO.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_simcc import decode_simcc
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.half_emulation import emulate_half
from rtmpose_sdk.exporters.network import open_checkpoint
from rtmpose_sdk.exporters.onnx import build_onnx
from rtmpose_sdk.exporters.torch_graph import TorchGraph

_BATCH = 16


Network = Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]


def on_cpu(model: onnx.ModelProto, threads: int) -> Network:
    """A graph in ONNX Runtime, from pictures to SimCC x and y."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session: Any = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda images: session.run(["simcc_x", "simcc_y"], {name: images})


def keypoints(
    network: Network, card: ModelCard, images: NDArray[np.uint8]
) -> tuple[NDArray[np.floating[Any]], int]:
    """Keypoints (N,K,2), px of the crop, and how many values are not finite."""
    found, broken = [], 0
    for start in range(0, len(images), _BATCH):
        x, y = network(images[start : start + _BATCH])
        broken += int((~np.isfinite(x)).sum() + (~np.isfinite(y)).sum())
        found.append(decode_simcc(x, y, card.simcc_split_ratio, card.simcc_beta).keypoints)
    return np.concatenate(found), broken


def main(
    weights: Annotated[Path, typer.Option(help="RTMPose or RTMW checkpoint.")],
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    annotations: Annotated[Path, typer.Option(help="COCO json with the persons' boxes.")],
    limit: Annotated[int, typer.Option(help="Number of crops.")] = 500,
    threads: Annotated[int, typer.Option(help="Threads.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="cuda, cpu: also fp16 as torch really computes it there.")
    ] = None,
) -> None:
    """Print how far keypoints of the fp16 graphs are from those of fp32, in px of the crop."""
    network, card = open_checkpoint(weights)
    crops = verification_images(card, images, annotations, limit)
    model = build_onnx(network, card)
    want, _ = keypoints(on_cpu(model, threads), card, crops)
    half = half_graph(model)
    networks = {
        "mixed graph, fp16 arithmetic": on_cpu(emulate_half(half), threads),
        "mixed graph, ONNX Runtime CPU": on_cpu(half, threads),
        "plain cast, fp16 arithmetic": on_cpu(emulate_half(half_graph(model, ())), threads),
    }
    if device:
        networks[f"mixed graph, torch on {device}"] = TorchGraph(half, device)
    table = Table(f"{len(crops)} crops", "median px", "p99", "worst", "moved, %", "not finite")
    for title, way in networks.items():
        have, broken = keypoints(way, card, crops)
        drift = np.abs(have - want).max(axis=-1)
        table.add_row(
            title,
            *(f"{v:.2f}" for v in (np.median(drift), np.percentile(drift, 99), drift.max())),
            f"{100 * (drift > 0).mean():.2f}",
            str(broken),
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
