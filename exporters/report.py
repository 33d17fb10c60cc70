"""What did the gates find? Tables for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.end2end import Kind
from rtmpose_sdk.exporters.end2end_check import Agreement
from rtmpose_sdk.exporters.tolerance import TOLERANCES
from rtmpose_sdk.exporters.verify import Verification


def print_verification(found: Verification | None, card: ModelCard, out: Path) -> None:
    """Figures beside what is allowed, and a line about the file."""
    console = Console(markup=False)
    if found is not None:
        console.print(_table(found, card))
    weights = out.with_suffix(".bin")  # of OpenVINO and ncnn
    size = out.stat().st_size
    if out.suffix in (".xml", ".param") and weights.is_file():
        size += weights.stat().st_size
    if found is not None and found.what == "graph":
        why = (
            "on a processor ONNX Runtime computes fp16 in fp32, which hides what a GPU gives"
            if out.suffix == ".onnx"
            else "no device for it here, or no CUDA binding (cuda-python)"
        )
        rounded = ", with fp16 rounded and overflowing as a GPU does" * (found.precision != "fp32")
        console.print(
            f"The file itself was not run: {why}. What was compared is the graph that it was built from"
            f"{rounded}.",
            soft_wrap=True,
        )
    if found is not None and found.precision == "int8" and found.accuracy is None:
        console.print(
            "AP was not measured; of int8 nothing else tells what it costs. Verify with --images DIR and "
            "--annotations COCO.json, or run rtmpose eval.",
            soft_wrap=True,
        )
    compared = f"{found.crops} crops compared" if found else "not verified"
    in_float = len(artifact_card(out).float_layers) if found and found.precision == "int8" else 0
    kept = f", {in_float} layer{'s' * (in_float != 1)} in float" if in_float else ""
    console.print(
        f"{out}: {card.name} {card.input_size[0]}x{card.input_size[1]}"
        f"{f' {card.keypoint_set}' * bool(card.keypoint_set)}, {size / 1e6:.1f} MB{kept}, {compared}",
        soft_wrap=True,
    )


def _table(found: Verification, card: ModelCard) -> Table:
    limit = TOLERANCES[found.precision]
    table = Table(f"{found.what} against reference ({found.precision})", "measured", "allowed")

    def row(what: str, measured: str, allowed: float | None) -> None:
        table.add_row(what, measured, _allowed(allowed))

    for name, value in found.largest_difference.items():
        row(f"{name}: largest difference / largest value", f"{value:.2e}", limit.relative)
    for name, value in found.mean_difference.items():
        row(f"{name}: mean difference / largest value", f"{value:.2e}", None)
    what = "keypoints" if card.task == "pose" else "sides of boxes"
    row(f"{what} moved, px: median", f"{found.median_shift:.3f}", limit.median)
    row(f"{what} moved, px: p99", f"{found.p99_shift:.3f}", limit.p99)
    row(f"{what} moved, px: worst ({found.ties} ties aside)", f"{found.worst_shift:.3f}", limit.worst)
    row("NaN or infinite values", str(found.not_finite), 0)
    if found.accuracy is not None and found.reference_accuracy is not None:
        row("AP before", f"{found.reference_accuracy:.4f}", None)
        row("AP after", f"{found.accuracy:.4f}", found.reference_accuracy - limit.accuracy)
    return table


def print_agreement(found: Agreement | None, kind: Kind, out: Path) -> None:
    """Figures beside what is allowed, and a line about the file."""
    console = Console(markup=False)
    if found is not None:
        table = Table("file against Python", "measured", "allowed")
        if kind != "pose":
            table.add_row(
                "sides of boxes moved, px: largest", f"{found.box_shift:.3f}", _allowed(found.limits.box)
            )
            table.add_row("boxes that only one has", str(found.only_one), "0")
        if kind != "detector":
            table.add_row(
                "keypoints moved, px: median", f"{found.median_shift:.3f}", _allowed(found.limits.median)
            )
            table.add_row("keypoints moved, px: p99", f"{found.p99_shift:.3f}", _allowed(found.limits.p99))
            table.add_row("keypoints moved, px: worst", f"{found.worst_shift:.3f}", "-")
            table.add_row("keypoints that are the same", f"{found.exact:.1%}", "-")
        console.print(table)
    compared = f"{found.boxes} boxes in {found.pictures} pictures compared" if found else "not verified"
    console.print(f"{out}: end2end {kind}, {out.stat().st_size / 1e6:.1f} MB, {compared}", soft_wrap=True)


def _allowed(limit: float | None) -> str:
    return "-" if limit is None else f"{limit:g}"
