"""A detector for pictures of another size: its weights do not depend on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.thaw import network_from_artifact


def export_resized(file: Path, input_size: tuple[int, int], out: Path) -> None:
    """Write a detector's ONNX file for another input size, not verified.

    Args:
        file: the detector, see `network_from_artifact`.
        input_size: (width, height) px, multiples of 32.
        out: the .onnx.

    Raises:
        CheckpointError: see `network_from_artifact`.
    """
    card = replace(artifact_card(file), input_size=input_size, accuracy={})
    export(Subject(card, network_from_artifact(file)), out, None)
