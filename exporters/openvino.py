"""ONNX graph → OpenVINO IR (`.xml` and `.bin`): fp32 or fp16 weights, or int8 through NNCF."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from rtmpose_sdk.card import CARD_KEY, ModelCard
from rtmpose_sdk.errors import EngineError, MissingExtraError, OutputError, RTMPoseError
from rtmpose_sdk.exporters.beside import cannot_write
from rtmpose_sdk.exporters.layers import silu_nodes
from rtmpose_sdk.exporters.onnx import half_storage
from rtmpose_sdk.hub.cache import sha256_of
from rtmpose_sdk.normalize import Normalizer


def write_openvino(
    graph: onnx.ModelProto,
    card: ModelCard,
    path: Path,
    *,
    precision: Literal["fp32", "fp16", "int8"] = "fp16",
    calibration: NDArray[np.uint8] | None = None,
    float_layers: Collection[str] = (),
    weight_bits: int = 8,
) -> None:
    """Write an IR with its card in the file.

    Args:
        graph: the fp32 ONNX graph.
        card: goes into the IR as `rt_info`.
        path: the `.xml`; its `.bin` is written beside it.
        precision: of the weights; int8 also of the arithmetic. fp16 weights are computed with in the
            precision that is asked for when the file is opened.
        calibration: int8: (N,h,w,3) uint8 BGR of the card's input size.
        float_layers: int8: names of the graph's nodes that stay in float.
        weight_bits: int8: 8 or 7, see `rtmpose_sdk.exporters.int8.Scheme`.

    Raises:
        MissingExtraError: openvino or nncf is not installed.
        EngineError: an operator that OpenVINO does not know, or a network that NNCF cannot quantise.
        OutputError: it cannot be written.
    """
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", "openvino", "Exporting to OpenVINO") from None
    with _folder_for(path) as folder:
        source = folder / "graph.onnx"
        # OpenVINO's own compression rounds biases, too: sides of boxes moved by 5 px, to save 15 kB.
        onnx.save(half_storage(graph) if precision == "fp16" else graph, str(source))
        model: Any = _converted(openvino, source)
        if precision == "int8":
            assert calibration is not None
            model = _quantize(
                model,
                graph,
                card,
                calibration=calibration,
                float_layers=float_layers,
                weight_bits=weight_bits,
            )
        _save(openvino, model, card, path)


@contextlib.contextmanager
def _folder_for(path: Path) -> Iterator[Path]:
    """A folder beside a file, for what is needed to write it."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            yield Path(folder)
    except RTMPoseError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from None


def _save(openvino: Any, model: Any, card: ModelCard, path: Path) -> None:
    """Write both files; the card in the first says what the second is."""
    try:
        model.set_rt_info(card.to_json(), CARD_KEY)
        openvino.save_model(model, str(path), compress_to_fp16=False)
        digest = sha256_of(path.with_suffix(".bin"))
        if digest != card.beside_sha256:
            model.set_rt_info(replace(card, beside_sha256=digest).to_json(), CARD_KEY)
            openvino.save_model(model, str(path), compress_to_fp16=False)
    except RuntimeError as error:  # a full disk is "basic_ios::clear: iostream error"
        why = " ".join(str(error).split())[-200:]
        raise OutputError(f"{path}: OpenVINO cannot write it ({why}); is there room on the disk?") from None


def _converted(openvino: Any, source: Path) -> Any:
    """OpenVINO's model of an ONNX file."""
    try:
        return openvino.Core().read_model(str(source))
    except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
        told = [line.removeprefix("-- ") for line in str(error).splitlines() if line.startswith("-- ")]
        why = "; ".join(told) or " ".join(str(error).split())[-300:]
        version = openvino.__version__.split("-")[0]
        raise EngineError(
            f"OpenVINO {version} does not take the graph: {why}. Export the network with plain operators, "
            "or for another --backend"
        ) from None


def replace_card(path: Path, card: ModelCard) -> None:
    """Give an IR another card; its weights stay as they are.

    Raises:
        OutputError: it cannot be written.
    """
    import openvino

    model = openvino.Core().read_model(str(path))
    with _folder_for(path) as folder:
        part = folder / path.name
        _save(openvino, model, card, part)
        del model  # it holds the old weights' file open
        for file in (part.with_suffix(".bin"), part):
            file.replace(path.with_name(file.name))


def _quantize(
    model: Any,
    graph: onnx.ModelProto,
    card: ModelCard,
    *,
    calibration: NDArray[np.uint8],
    float_layers: Collection[str],
    weight_bits: int,
) -> Any:
    """The model in int8: per channel, activations unsigned or signed as NNCF finds."""
    try:
        with _quiet():
            import nncf
    except ImportError:
        raise MissingExtraError("nncf", "int8", "int8 for OpenVINO") from None
    normalize = Normalizer(card)
    # SiLU stays in float, so that it is fused into the convolution before it, which then gives int8.
    names = {*silu_nodes(graph), *float_layers}
    have = {op.get_friendly_name() for op in model.get_ops()}
    ignored = [name for name in (*names, *(f"{n}/WithoutBiases" for n in names)) if name in have]
    overflow = nncf.OverflowFix.ENABLE if weight_bits == 7 else nncf.OverflowFix.FIRST_LAYER
    dataset = nncf.Dataset([normalize(crop[None]) for crop in calibration])
    with _quiet():
        try:
            return nncf.quantize(
                model,
                dataset,
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(calibration),
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
                ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
            )
        except Exception as error:  # noqa: BLE001 - NNCF and the engine raise kinds of their own
            why = " ".join(str(error).split())[:300]
            raise EngineError(
                f"NNCF {nncf.__version__} cannot quantise {card.name} for OpenVINO: {why}"
            ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NNCF logs at level INFO and prints bars of its own."""
    loggers = [logging.getLogger(name) for name in ("nncf", "py.warnings")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
