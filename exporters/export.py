"""A subject in, a verified artifact out, whatever the engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.artifacts import read_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters import onnx as onnx_files
from rtmpose_sdk.exporters.backends import BACKENDS, check_precision
from rtmpose_sdk.exporters.layers import Layer
from rtmpose_sdk.exporters.onnx import half_storage, save_onnx
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.exporters.verify import Verification, verify
from rtmpose_sdk.runtimes import open_runtime

Images = NDArray[np.uint8]
Measure = Callable[[Path], float]
"""AP of an artifact."""


@dataclass(frozen=True)
class Wish:
    """What kind of artifact is wanted.

    Attributes:
        backend: a key of `BACKENDS`.
        precision: None is the backend's usual one.
        half_storage: ONNX: weights stored as fp16, arithmetic in fp32.
        calibration: int8: (N,h,w,3) uint8 BGR of the card's input size.
    """

    backend: str = "onnx"
    precision: str | None = None
    half_storage: bool = False
    calibration: Images | None = None


def export(
    subject: Subject,
    out: Path,
    crops: Images | None,
    wish: Wish = Wish(),
    measure: Measure | None = None,
    track: Callable[[Sequence[Layer]], Iterable[Layer]] = iter,
) -> Verification | None:
    """Export, verify against the reference, write the artifact with the figures in its card.

    An artifact that fails is written all the same, marked `verified: false`, for a look at it. Files
    are made in a folder beside and moved when they are whole.

    Args:
        subject: what is exported.
        out: the artifact's main file.
        crops: real crops to verify with, (N,h,w,3) uint8 BGR; None does not verify.
        wish: engine and precision.
        measure: where given, AP of both has to agree as well.
        track: shows the progress of the search for sensitive layers.

    Returns:
        What was measured; None without crops.

    Raises:
        InputError: a precision that the backend does not have, no crops, no calibration for int8.
        MissingExtraError: a package that the backend needs.
    """
    precision = check_precision(wish.backend, wish.precision)
    card = replace(subject.card, precision=precision)
    with subject.reference() as reference, tempfile.TemporaryDirectory(dir=out.parent) as folder:
        trial = Path(folder) / out.name
        if precision == "int8" and wish.backend != "ncnn":  # which chooses its layers itself
            card = replace(card, float_layers=_float_layers(subject, card, wish, track))
        card = replace(card, verification={})
        _write(subject, card, trial, wish, precision)
        found = None
        if crops is not None:
            with open_runtime(trial) as runtime:
                if wish.backend == "ncnn":
                    card = read_card(runtime)  # always a tensor, whatever was asked for
                found = verify(reference, runtime, card, crops, _tolerances(wish, precision))
                engine = runtime.engine
            if measure is not None:
                plain = Path(folder) / "reference.onnx"
                save_onnx(subject.graph, subject.card, plain)
                found = found.with_accuracy(measure(plain), measure(trial))
            replace_card(trial, replace(card, verification={**found.as_dict(), "engine": engine}))
        companions = [trial.with_suffix(suffix) for suffix in BACKENDS[wish.backend].companions]
        for file in (*companions, trial):
            file.replace(out.with_name(file.name))
    return found


def replace_card(path: Path, card: ModelCard) -> None:
    """Give an artifact another card."""
    if path.suffix == ".onnx":
        onnx_files.replace_card(path, card)
    elif path.suffix == ".xml":
        from rtmpose_sdk.exporters import openvino

        openvino.replace_card(path, card)
    elif path.suffix == ".param":
        from rtmpose_sdk.exporters import ncnn

        ncnn.replace_card(path, card)
    else:
        from rtmpose_sdk.exporters import torch_program

        torch_program.replace_card(path, card)


def _float_layers(subject: Subject, card: ModelCard, wish: Wish, track: Any) -> tuple[str, ...]:
    """Layers that int8 may not have."""
    from rtmpose_sdk.exporters.sensitivity import choose_float_layers, measure_sensitivity

    if wish.calibration is None:
        raise InputError("int8 needs crops to calibrate with (--calibrate FOLDER)")
    return choose_float_layers(measure_sensitivity(subject.graph, card, wish.calibration, track))


def _write(subject: Subject, card: ModelCard, path: Path, wish: Wish, precision: str) -> None:
    if wish.backend == "onnx":
        model = subject.graph
        if precision == "int8":
            from rtmpose_sdk.exporters.int8 import Int8Quantizer

            assert wish.calibration is not None
            quantizer = Int8Quantizer(model, card, wish.calibration)
            names = {layer.name for layer in quantizer.layers} - set(card.float_layers)
            model = quantizer.quantize(names)
        save_onnx(half_storage(model) if wish.half_storage else model, card, path)
    elif wish.backend == "openvino":
        from rtmpose_sdk.exporters.openvino import write_openvino

        kind = cast('Literal["fp32", "fp16", "int8"]', precision)
        write_openvino(subject.graph, card, path, kind, wish.calibration, card.float_layers)
    elif wish.backend == "ncnn":
        from rtmpose_sdk.exporters.ncnn import write_ncnn

        kind = cast('Literal["fp32", "fp16", "int8"]', precision)
        network = _network(subject, wish.backend)
        write_ncnn(network, card, path, precision=kind, calibration=wish.calibration)
    else:
        from rtmpose_sdk.exporters.torch_program import write_torch_program

        write_torch_program(_network(subject, wish.backend), card, path)


def _network(subject: Subject, backend: str) -> Any:
    if subject.network is None:
        raise InputError(
            f"--backend {backend} is exported from a checkpoint (.pth); {subject.file} is an ONNX model"
        )
    return subject.network


def _tolerances(wish: Wish, precision: str) -> str:
    stored_half = wish.half_storage or (wish.backend in ("openvino", "ncnn") and precision == "fp16")
    return "fp16-storage" if stored_half and precision != "int8" else precision
