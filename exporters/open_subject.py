"""What do weights export, and what is the artifact's card to say?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.backends import BACKENDS
from rtmpose_sdk.exporters.network import open_checkpoint
from rtmpose_sdk.exporters.new_card import InputKind, describe_weights, with_accuracy
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.zoo import Found

_ARTIFACTS = {backend.suffix for backend in BACKENDS.values()}
UNKNOWN = "unknown"
"""A licence that was not given."""


def open_subject(
    found: Found,
    *,
    model: str | None = None,
    keypoints: str | None = None,
    input_size: tuple[int, int] | None = None,
    input_kind: InputKind = "image",
    nms: bool = False,
    fixed_size: bool = False,
    license_name: str = UNKNOWN,
    notes: str = "",
    accuracy: Mapping[str, float] | None = None,
) -> Subject:
    """What is exported, with the card that its artifact is to have.

    Keypoints and licence that are not given are those of the published weights; licence and notes those of
    the run that trained the weights, if there was one.

    Args:
        found: the weights: a checkpoint, an ONNX file, an SDK folder.
        model, keypoints, input_size: see `open_network`.
        input_kind, nms: see `new_card`.
        fixed_size: a detector's graph takes its input size and no other.
        license_name, notes, accuracy: for the card.

    Raises:
        InputError: options that the weights answer themselves, or that are not for them.
        CheckpointError, CardError, ModelFileError: weights that cannot be opened.
    """
    weights, published = found
    if published is not None:
        keypoints = keypoints or published.keypoint_set or None
        license_name = published.license if license_name == UNKNOWN else license_name
    if weights.is_dir() or weights.suffix.lower() in _ARTIFACTS:
        if model or keypoints or input_size or nms:
            raise InputError(
                f"{weights} has its network, keypoints and size in its card; --model, --keypoints, "
                "--input-size and --nms are for checkpoints (.pth)"
            )
        if license_name != UNKNOWN or notes or accuracy:
            raise InputError(
                f"{weights} has a card already, which is kept; --license, --notes and --accuracy are for "
                "checkpoints (.pth)"
            )
        subject = _exported_already(weights, input_kind)
    else:
        network, card = open_checkpoint(
            weights, model, keypoint_set=keypoints, input_size=input_size, input_kind=input_kind, nms=nms
        )
        if nms and network.task != "detect":
            raise InputError(f"--nms is for detectors; {network.name} is a pose model")
        license_name = card.license if license_name == UNKNOWN else license_name
        card = describe_weights(card, weights, license_name, notes or card.notes)
        subject = Subject(with_accuracy(card, accuracy or {}), network)
    if fixed_size and subject.card.task != "detect":
        raise InputError(f"--fixed-size is for detectors; {subject.card.name} has one size anyway")
    return subject.full() if fixed_size else subject


def _exported_already(source: Path, input_kind: InputKind) -> Subject:
    subject = subject_from_artifact(source)
    if input_kind == "tensor" and subject.card.takes_image:
        raise InputError(
            f"{source} takes pictures, and an ONNX model keeps its input; export the checkpoint "
            "(.pth) with --input tensor"
        )
    return subject
