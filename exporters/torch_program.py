"""Network → torch's own exported program (`.pt2`), with its card inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.graph import example_input, in_graph, output_names
from rtmpose_sdk.runtimes.torch import CARD_KEY, OUTPUTS_KEY


def write_torch_program(network: nn.Module, card: ModelCard, path: Path) -> None:
    """Write the fp32 program, of a full letterbox; autocast chooses the arithmetic when it is opened."""
    card = replace(card, letterbox="full")
    program = torch.export.export(
        in_graph(network, card),
        (example_input(card),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    _save(program, card, ",".join(output_names(card)), path)


def replace_card(path: Path, card: ModelCard) -> None:
    """Give a program another card."""
    extra = {OUTPUTS_KEY: ""}
    program = torch.export.load(str(path), extra_files=extra)
    part = path.with_name(f".part-{path.name}")
    _save(program, card, extra[OUTPUTS_KEY], part)
    part.replace(path)


def _save(program: torch.export.ExportedProgram, card: ModelCard, outputs: str, path: Path) -> None:
    torch.export.save(program, str(path), extra_files={OUTPUTS_KEY: outputs, CARD_KEY: card.to_json()})
