"""Network → torch's own exported program (`.pt2`), with its card inside."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.graph import example_input, in_graph, output_names
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.runtimes.torch import CARD_KEY, OUTPUTS_KEY


def write_torch_program(network: nn.Module, card: ModelCard, path: Path) -> None:
    """Write the fp32 program, of a full letterbox; autocast chooses the arithmetic when it is opened.

    Raises:
        OutputError: it cannot be written.
    """
    card = replace(card, letterbox="full")
    program = torch.export.export(
        in_graph(network, card),
        (example_input(card),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    _save(program, card, ",".join(output_names(card)), path)


def replace_card(path: Path, card: ModelCard) -> None:
    """Give a program another card.

    Raises:
        OutputError: it cannot be written.
    """
    extra = {OUTPUTS_KEY: ""}
    program = torch.export.load(str(path), extra_files=extra)
    _save(program, card, extra[OUTPUTS_KEY], path)


def _save(program: torch.export.ExportedProgram, card: ModelCard, outputs: str, path: Path) -> None:
    whole = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.export.save(program, whole, extra_files={OUTPUTS_KEY: outputs, CARD_KEY: card.to_json()})
    write_bytes(path, whole.getvalue())
