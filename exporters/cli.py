"""`rtmpose-export`: a checkpoint in, a verified artifact out."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.cli.options import parse_size
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError, MissingExtraError, OutputError, VerificationError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Backend(str, enum.Enum):
    """Engines that artifacts are made for."""

    ONNX = "onnx"


class InputKind(str, enum.Enum):
    """What the artifact takes."""

    IMAGE = "image"
    TENSOR = "tensor"


class Storage(str, enum.Enum):
    """How weights are stored."""

    FP32 = "fp32"
    FP16 = "fp16"


@app.command()
def export(
    weights: Annotated[Path, typer.Option(help="Checkpoint (.pth) in the published layout.")],
    out: Annotated[Path, typer.Option(help="The artifact to write (.onnx).")],
    model: Annotated[
        str | None,
        typer.Option(help="rtmpose-t, rtmdet-nano, rtmw-l, ...; default: read from the weights."),
    ] = None,
    backend: Annotated[Backend, typer.Option(help="Engine to export for.")] = Backend.ONNX,
    keypoints: Annotated[
        str | None, typer.Option(help="Keypoint set; default: the one with as many keypoints.")
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(help="WIDTHxHEIGHT px; default: read from the weights, or the model's."),
    ] = None,
    input_kind: Annotated[
        InputKind,
        typer.Option("--input", help="image: uint8 NHWC BGR, all inside; tensor: normalised NCHW."),
    ] = InputKind.IMAGE,
    nms: Annotated[bool, typer.Option("--nms", help="Detector: NonMaxSuppression in the graph.")] = False,
    storage: Annotated[
        Storage, typer.Option(help="fp16 halves the file; arithmetic stays fp32.")
    ] = Storage.FP32,
    images: Annotated[
        Path | None, typer.Option(help="Pictures to verify with; default: the bundled photograph.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO json with the boxes of persons in those pictures.")
    ] = None,
    crops: Annotated[int, typer.Option(min=1, help="Most crops to verify with.")] = 100,
    license_name: Annotated[
        str, typer.Option("--license", help="Licence of the weights, SPDX.")
    ] = "unknown",
    accuracy: Annotated[
        list[str] | None,
        typer.Option(help="A measured figure for the card, NAME=VALUE; repeatable."),
    ] = None,
    notes: Annotated[str, typer.Option(help="A sentence for the card.")] = "",
) -> None:
    """Export a checkpoint and prove that the artifact gives the same keypoints."""
    if out.suffix != f".{backend.value}":
        raise InputError(f"--out {out}: expected a name that ends in .{backend.value}")
    if annotations is not None and images is None:
        raise InputError("--annotations needs --images, the folder with their pictures")
    figures = _figures(accuracy or [])
    try:
        import onnx  # noqa: F401
        import onnxslim  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "export", "rtmpose-export") from None
    if not out.parent.is_dir():
        raise OutputError(f"{out}: its folder does not exist")

    from rtmpose_sdk.exporters.checkpoint_to_onnx import (
        describe_weights,
        export,
        new_card,
        with_accuracy,
    )
    from rtmpose_sdk.exporters.crops import verification_images
    from rtmpose_sdk.exporters.network import open_network

    size = parse_size(input_size) if input_size else None
    network, keypoint_set = open_network(weights, model, keypoints, size)
    if nms and network.task != "detect":
        raise InputError(f"--nms is for detectors; {network.name} is a pose model")
    card = new_card(network.name, network.input_size, keypoint_set, input_kind.value, nms)
    card = with_accuracy(describe_weights(card, weights, license_name, notes), figures)
    found = export(network, card, out, verification_images(card, images, annotations, crops), storage.value)

    table = Table("artifact against PyTorch", "measured", "allowed")
    for name, value in found.relative_difference.items():
        table.add_row(
            f"{name}: difference / largest value", f"{value:.2e}", f"{found.relative_tolerance:g}"
        )
    table.add_row(
        f"worst shift, px ({found.ties} ties aside)",
        f"{found.pixel_difference:.3f}",
        f"{found.pixel_tolerance:g}",
    )
    table.add_row("NaN or infinite values", str(found.not_finite), "0")
    console = Console()
    console.print(table)
    console.print(
        f"{out}: {network.name} {card.input_size[0]}x{card.input_size[1]} {keypoint_set}, "
        f"{out.stat().st_size / 1e6:.1f} MB, {found.crops} crops compared",
        soft_wrap=True,
    )
    if not found.verified:
        raise VerificationError(
            f"{out}: does not give what the PyTorch model gives (see the table); it is kept for a look "
            "at it, and its card says verified: false"
        )


def _figures(pairs: list[str]) -> dict[str, float]:
    figures = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        try:
            figures[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"--accuracy {pair!r}; expected NAME=VALUE with a number") from None
    return figures


def main() -> None:
    """Entry point of `rtmpose-export`."""
    run(app)
