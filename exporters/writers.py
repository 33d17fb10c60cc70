"""Which exporter writes the artifact of a backend, and where does its card go?"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import onnx

from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CheckpointError, InputError, RTMPoseWarning
from rtmpose_sdk.exporters import onnx as onnx_files
from rtmpose_sdk.exporters.batch_profile import DEFAULT_BATCH
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.onnx import half_storage, save_onnx
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.images import write_bytes

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["fp32", "fp16", "int8"]


def write(
    subject: Subject, card: ModelCard, path: Path, settings: ExportSettings
) -> onnx.ModelProto | None:
    """Write an artifact's files.

    Args:
        subject: what is exported.
        card: of the artifact; its precision is one of the backend's.
        path: its main file; others are written beside it.
        settings: the backend and its options.

    Returns:
        The graph that says what the artifact computes, where a CPU computes something else with the
        artifact itself or nothing at all; else None.

    Raises:
        InputError: the backend cannot export this.
        MissingExtraError: a package that the backend needs.
    """
    precision = cast("Precision", card.precision)
    if settings.backend == "onnx":
        return _write_onnx(subject, card, path, settings)
    if settings.backend == "tensorrt":
        return _write_tensorrt(subject, card, path, settings)
    if settings.backend == "openvino":
        from rtmpose_sdk.exporters.openvino import write_openvino

        write_openvino(
            subject.graph,
            card,
            path,
            precision=precision,
            calibration=settings.calibration,
            float_layers=card.float_layers,
            weight_bits=settings.weight_bits,
        )
    elif settings.backend == "ncnn":
        from rtmpose_sdk.exporters.ncnn import write_ncnn

        network = _network(subject, settings.backend)
        write_ncnn(network, card, path, precision=precision, calibration=settings.calibration)
    else:
        from rtmpose_sdk.exporters.torch_program import write_torch_program

        write_torch_program(_network(subject, settings.backend), card, path)
    return None


def replace_card(path: Path, card: ModelCard) -> None:
    """Give an artifact another card: inside the file where its kind allows it, else beside it."""
    if path.suffix == ".onnx":
        onnx_files.replace_card(path, card)
    elif path.suffix == ".xml":
        from rtmpose_sdk.exporters import openvino

        openvino.replace_card(path, card)
    elif path.suffix == ".pt2":
        from rtmpose_sdk.exporters import torch_program

        torch_program.replace_card(path, card)
    else:
        write_bytes(card_beside(path), card.to_json().encode())


def _write_onnx(
    subject: Subject, card: ModelCard, path: Path, settings: ExportSettings
) -> onnx.ModelProto | None:
    model = subject.graph
    if card.precision == "int8":
        model = _int8_graph(subject, card, settings)
    elif card.precision == "fp16":
        model = half_graph(model)
    save_onnx(half_storage(model) if settings.half_storage else model, card, path)
    return model if card.precision == "fp16" else None


def _write_tensorrt(
    subject: Subject, card: ModelCard, path: Path, settings: ExportSettings
) -> onnx.ModelProto:
    from rtmpose_sdk.exporters.tensorrt import builder_graph, write_tensorrt

    subject = subject.full()  # a profile has one size
    graph = subject.graph
    if card.precision == "int8":
        if "sm75" in map(str.lower, settings.targets):
            warnings.warn(
                "int8 for sm75: TensorRT for RTX has no int8 convolutions for compute capability 7.5 and "
                "computes them in fp16, with the accuracy of int8; expected a later target, or --precision "
                "fp16",
                RTMPoseWarning,
                stacklevel=2,
            )
        graph = _int8_graph(subject, card, settings)
    if card.precision != "fp32":
        graph = half_graph(graph)
    write_tensorrt(
        graph,
        card,
        path,
        batch=settings.batch or DEFAULT_BATCH,
        targets=settings.targets,
        timing_cache=settings.timing_cache,
        flavour=settings.flavour,
    )
    return builder_graph(graph, card)


def _int8_graph(subject: Subject, card: ModelCard, settings: ExportSettings) -> onnx.ModelProto:
    from rtmpose_sdk.exporters.int8 import Int8Quantizer

    assert settings.calibration is not None
    quantizer = Int8Quantizer(subject.graph, card, settings.calibration, settings.scheme)
    return quantizer.quantize({layer.name for layer in quantizer.layers} - set(card.float_layers))


def _network(subject: Subject, backend: str) -> nn.Module:
    """The PyTorch network, if need be from the ONNX file's weights."""
    if subject.network is not None:
        return subject.network
    assert subject.file is not None
    from rtmpose_sdk.exporters.thaw import network_from_artifact

    try:
        return network_from_artifact(subject.file, subject.card)
    except CheckpointError as error:
        raise InputError(f"--backend {backend} needs the PyTorch network. {error}") from None
