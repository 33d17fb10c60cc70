"""Which exporter writes the artifact of a backend, and where does its card go?"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import onnx

from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CheckpointError, InputError
from rtmpose_sdk.exporters import onnx as onnx_files
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.onnx import half_storage, save_onnx
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.wish import Wish
from rtmpose_sdk.images import write_bytes

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["fp32", "fp16", "int8"]


def write(
    subject: Subject, card: ModelCard, path: Path, wish: Wish, precision: str
) -> onnx.ModelProto | None:
    """Write an artifact's files.

    Args:
        subject: what is exported.
        card: of the artifact.
        path: its main file; others are written beside it.
        wish: the backend's options.
        precision: one of the backend's.

    Returns:
        The graph that says what the artifact computes, where a CPU computes something else with the
        artifact itself or nothing at all; else None.

    Raises:
        InputError: the backend cannot export this.
        MissingExtraError: a package that the backend needs.
    """
    kind = cast("Kind", precision)
    if wish.backend == "onnx":
        return _write_onnx(subject, card, path, wish, kind)
    if wish.backend == "tensorrt":
        return _write_tensorrt(subject, card, path, wish, kind)
    if wish.backend == "openvino":
        from rtmpose_sdk.exporters.openvino import write_openvino

        write_openvino(
            subject.graph, card, path, kind, wish.calibration, card.float_layers, wish.weight_bits
        )
    elif wish.backend == "ncnn":
        from rtmpose_sdk.exporters.ncnn import write_ncnn

        network = _network(subject, wish.backend)
        write_ncnn(network, card, path, precision=kind, calibration=wish.calibration)
    else:
        from rtmpose_sdk.exporters.torch_program import write_torch_program

        write_torch_program(_network(subject, wish.backend), card, path)
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
    subject: Subject, card: ModelCard, path: Path, wish: Wish, precision: Kind
) -> onnx.ModelProto | None:
    model = subject.graph
    if precision == "int8":
        model = _int8_graph(subject, card, wish)
    elif precision == "fp16":
        model = half_graph(model)
    save_onnx(half_storage(model) if wish.half_storage else model, card, path)
    return model if precision == "fp16" else None


def _write_tensorrt(
    subject: Subject, card: ModelCard, path: Path, wish: Wish, precision: Kind
) -> onnx.ModelProto:
    from rtmpose_sdk.exporters.tensorrt import DEFAULT_BATCH, builder_graph, write_tensorrt

    subject = subject.full()  # a profile has one size
    graph = subject.graph
    if precision == "int8":
        if "sm75" in map(str.lower, wish.targets):
            warnings.warn(
                "int8 for sm75: TensorRT for RTX has no int8 convolutions for compute capability 7.5 and "
                "computes them in fp16, with the accuracy of int8; expected a later target, or --precision "
                "fp16",
                stacklevel=2,
            )
        graph = _int8_graph(subject, card, wish)
    if precision != "fp32":
        graph = half_graph(graph)
    write_tensorrt(
        graph,
        card,
        path,
        batch=wish.batch or DEFAULT_BATCH,
        targets=wish.targets,
        timing_cache=wish.timing_cache,
        flavour=wish.flavour,
    )
    return builder_graph(graph, card)


def _int8_graph(subject: Subject, card: ModelCard, wish: Wish) -> onnx.ModelProto:
    from rtmpose_sdk.exporters.int8 import Int8Quantizer

    assert wish.calibration is not None
    quantizer = Int8Quantizer(subject.graph, card, wish.calibration, wish.scheme)
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
