"""A network with random weights as an artifact: its speed is that of trained ones."""

from __future__ import annotations

from pathlib import Path

from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.extra import check_extra
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.subject import Subject


def export_untrained(name: str, keypoint_set: str, input_size: tuple[int, int], out: Path) -> None:
    """Write an ONNX file that is not verified, and whose poses mean nothing.

    Args:
        name: of an RTMPose network.
        keypoint_set: its name.
        input_size: (width, height) px.
        out: the .onnx.

    Raises:
        MissingExtraError: the extra `export` is not installed.
    """
    check_extra("A network without trained weights")
    from rtmpose_sdk.models import build_model

    network = build_model(name, keypoint_set=keypoint_set, input_size=input_size).eval()
    export(Subject(new_card(name, input_size, keypoint_set), network), out, None)
