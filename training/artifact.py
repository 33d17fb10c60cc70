"""From a trained network to a verified artifact, and to its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.accuracy import artifact_accuracy, model_accuracy
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import ImageError, TrainingError
from rtmpose_sdk.exporters.crops import cut, verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.new_card import describe_weights, new_card, with_accuracy
from rtmpose_sdk.exporters.onnx import replace_card
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.runs import WEIGHTS
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.live import live_model
from rtmpose_sdk.training.persons import Source, read_persons
from rtmpose_sdk.training.pictures import read_pictures

PADDING = 1.25
"""Factor on a box's sides, MMPose's."""
_VERIFIED = 64
"""Inputs that the artifact is verified with, at most."""


def note(config: RunConfig, keypoint_set: KeypointSet | None) -> dict[str, Any]:
    """What the weights' file says beside them, see `rtmpose_sdk.models.read_noted`."""
    card = replace(_card(config, keypoint_set), license=config.license, notes=config.notes)
    said: dict[str, Any] = {"card": card.to_json()}
    # RTMW has one head.
    return {**said, "head": asdict(config.head_options)} if config.model.startswith("rtmpose") else said


def _card(config: RunConfig, keypoint_set: KeypointSet | None) -> ModelCard:
    card = new_card(
        config.model, config.input_size, keypoint_set or "", heatmaps=config.head_options.gives_heatmaps
    )
    if config.task == "pose":
        card = replace(card, simcc_beta=1 / config.temperature, bbox_padding=PADDING)
    return card


def scorer(config: RunConfig, keypoint_set: KeypointSet | None) -> Callable[[nn.Module], dict[str, float]]:
    """Measures a network as `rtmpose eval` measures its artifact, without an export; nothing without data.

    Of keypoints in ground-truth boxes, or of a detector's boxes.
    """
    if not config.val_annotations:
        return lambda network: {}
    card = _card(config, keypoint_set)
    opened = Predictor if config.task == "pose" else Detector

    def score(network: nn.Module) -> dict[str, float]:
        with opened(live_model(network, card)) as model:
            return model_accuracy(model, Path(config.val_annotations), Path(config.val_images))

    return score


def artifact_inputs(card: ModelCard, config: RunConfig) -> NDArray[np.uint8]:
    """Inputs (N,h,w,3) that the artifact is verified with: persons of the training data, or pictures of the
    validation data where there are.
    """
    if config.task == "pose":
        return _person_crops(card, config)
    sources = config.sources
    if config.val_annotations:
        sources = [Source(Path(config.val_annotations), Path(config.val_images))]
    # The files that the annotations name: they may lie in folders of the folder.
    inputs: list[NDArray[np.uint8]] = []
    for file in read_pictures(sources).files[:_VERIFIED]:
        inputs += cut(card, read_image(file), np.empty((0, 4), np.float32))
    return np.stack(inputs)


def _person_crops(card: ModelCard, config: RunConfig) -> NDArray[np.uint8]:
    """Persons that training uses, without boxes that show nothing of a picture.

    Nothing stops here after hours of training: where nobody can be cut out any more, a picture of ours is.
    """
    persons = read_persons(config.sources, len(card.keypoints()), labelled_only=not config.teacher)
    crops: list[NDArray[np.uint8]] = []
    last: Path | None = None
    for file, box in zip(persons.files, persons.boxes, strict=True):
        if len(crops) == _VERIFIED:
            break
        if file != last:
            last = file
            try:
                picture = read_image(file)
            except ImageError:  # its persons were cut out at the start
                picture = np.empty((0, 0, 3), np.uint8)
        if (box[:2] < (picture.shape[1], picture.shape[0])).all() and (box[2:] > 0).all():
            crops += cut(card, picture, box[None])
    return np.stack(crops) if crops else verification_images(card, None, None, _VERIFIED)


def export_artifact(
    config: RunConfig, folder: Path, network: nn.Module, keypoint_set: KeypointSet | None, artifact: Path
) -> dict[str, float]:
    """The verified artifact with its card.

    Returns:
        The artifact's own figures, which its card has, too; empty without validation data.
    """
    card = describe_weights(_card(config, keypoint_set), folder / WEIGHTS, config.license, config.notes)
    images = artifact_inputs(card, config)
    settings = ExportSettings(half_storage=config.storage == "fp16")
    found = export(Subject(card, network), artifact, images, settings=settings)
    if found is not None and not found.verified:
        raise TrainingError(
            f"{artifact}: does not give what the PyTorch network gives: {found.as_dict()}; the weights are "
            f"in {folder / WEIGHTS}"
        )
    if not config.val_annotations:
        return {}
    validation = Path(config.val_annotations)
    figures = artifact_accuracy(artifact, validation, Path(config.val_images), torch.get_num_threads())
    kind = "ground-truth boxes" if config.task == "pose" else "person boxes"
    accuracy = {f"{validation.stem} {name} ({kind})": round(v, 4) for name, v in figures.items()}
    replace_card(artifact, with_accuracy(artifact_card(artifact), accuracy))
    return figures
