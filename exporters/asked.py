"""What is `rtmpose-export` asked to export, and what is its card to say?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError

if TYPE_CHECKING:
    from rtmpose_sdk.exporters.subject import Subject


def open_subject(
    weights: Path,
    model: str | None,
    keypoints: str | None,
    size: tuple[int, int] | None,
    input_kind: str,
    nms: bool,
    license_name: str,
    notes: str,
    figures: dict[str, float],
) -> Subject:
    """What is exported, with the card that its artifact is to have.

    Licence and notes that are not given are those of the run that trained the weights, if there was one.

    Raises:
        InputError: options that the weights answer themselves, or that are not for them.
        CheckpointError, CardError, ModelFileError: weights that cannot be opened.
    """
    from rtmpose_sdk.exporters.network import open_checkpoint
    from rtmpose_sdk.exporters.new_card import describe_weights, with_accuracy
    from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
    from rtmpose_sdk.models import read_noted

    if weights.is_dir() or weights.suffix.lower() == ".onnx":
        if model or keypoints or size or nms:
            raise InputError(
                f"{weights} has its network, keypoints and size in its card; --model, --keypoints, "
                "--input-size and --nms are for checkpoints (.pth)"
            )
        if license_name != "unknown" or notes or figures:
            raise InputError(
                f"{weights} has a card already, which is kept; --license, --notes and --accuracy are for "
                "checkpoints (.pth)"
            )
        subject = subject_from_artifact(weights)
        if input_kind == "tensor" and subject.card.takes_image:
            raise InputError(
                f"{weights} takes pictures, and an ONNX model keeps its input; export the checkpoint "
                "(.pth) with --input tensor"
            )
        return subject
    kind: Any = input_kind
    network, card = open_checkpoint(weights, model, keypoints, size, kind, nms)
    if nms and network.task != "detect":
        raise InputError(f"--nms is for detectors; {network.name} is a pose model")
    if said := read_noted(weights)[1].get("card"):
        trained = ModelCard.from_json(said, str(weights))
        license_name = trained.license if license_name == "unknown" else license_name
        notes = notes or trained.notes
    return Subject(with_accuracy(describe_weights(card, weights, license_name, notes), figures), network)


def read_figures(pairs: list[str]) -> dict[str, float]:
    """NAME=VALUE, each a measured figure.

    Raises:
        InputError: not such text.
    """
    figures = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        wrong = InputError(f"--accuracy {pair!r}; expected NAME=VALUE with a finite number")
        try:
            figure = float(value)
        except ValueError:
            raise wrong from None
        if not name.strip() or not math.isfinite(figure):
            raise wrong
        figures[name.strip()] = figure
    return figures
