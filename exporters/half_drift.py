"""How far do keypoints move in half precision, on real crops? The mixed graph beside a plain cast.

python -m rtmpose_sdk.exporters.half_drift --weights W.pth --images DIR --annotations COCO.json
"""

from __future__ import annotations

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
from rtmpose_sdk.decode import decode_simcc
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.half_emulation import emulate_half
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import build_onnx

_BATCH = 16


def keypoints(
    model: onnx.ModelProto, card: ModelCard, images: NDArray[np.uint8], threads: int
) -> tuple[NDArray[np.floating[Any]], int]:
    """Keypoints (N,K,2), px of the crop, and how many values are not finite; the graph takes pictures."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name, found, broken = session.get_inputs()[0].name, [], 0
    for start in range(0, len(images), _BATCH):
        x, y = session.run(["simcc_x", "simcc_y"], {name: images[start : start + _BATCH]})
        broken += int((~np.isfinite(x)).sum() + (~np.isfinite(y)).sum())
        found.append(decode_simcc(x, y, card.simcc_split_ratio, card.simcc_beta).keypoints)
    return np.concatenate(found), broken


def main(
    weights: Annotated[Path, typer.Option(help="RTMPose or RTMW checkpoint.")],
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    annotations: Annotated[Path, typer.Option(help="COCO json with the persons' boxes.")],
    limit: Annotated[int, typer.Option(help="Number of crops.")] = 500,
    threads: Annotated[int, typer.Option(help="Threads.")] = 1,
) -> None:
    """Print how far keypoints of the fp16 graphs are from those of fp32, in px of the crop."""
    network, keypoint_set = open_network(weights)
    card = new_card(network.name, network.input_size, keypoint_set)
    crops = verification_images(card, images, annotations, limit)
    model = build_onnx(network, card)
    want, _ = keypoints(model, card, crops, threads)
    table = Table(f"{len(crops)} crops", "median px", "p99", "worst", "moved, %", "not finite")
    for title, graph in (
        ("mixed graph, fp16 arithmetic", emulate_half(half_graph(model))),
        ("mixed graph, ONNX Runtime CPU", half_graph(model)),
        ("plain cast, fp16 arithmetic", emulate_half(half_graph(model, ()))),
    ):
        have, broken = keypoints(graph, card, crops, threads)
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
