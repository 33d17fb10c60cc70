"""fp32 ONNX graph → int8 with QuantizeLinear/DequantizeLinear pairs, for ONNX Runtime and TensorRT."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import shape_inference

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import EngineError
from rtmpose_sdk.exporters.layers import layers
from rtmpose_sdk.normalize import Normalizer

_WARNINGS, _ERRORS = 2, 3
"""Severities of ONNX Runtime's log; the first is its default."""


class Scheme(NamedTuple):
    """How numbers become int8.

    Attributes:
        symmetric: activations signed, with a zero point of 0: what TensorRT takes.
        weight_bits: 8, or 7: weights within 64, so that no sum of two products passes 16 bits. x86
            processors without VNNI add them so, and clip.
    """

    symmetric: bool = False
    weight_bits: int = 8


class Int8Quantizer:
    """Measures the ranges of a graph's activations once, then quantises any choice of its layers.

    Static, weights signed and per channel, activations unsigned unless the scheme has symmetric ones: on
    x86 with VNNI the fast kind.

    Args:
        graph: the fp32 ONNX graph.
        card: how pictures become its input.
        calibration: (N,h,w,3) uint8 BGR of the card's input size.
        scheme: how numbers become int8.

    Attributes:
        layers: what can be quantised, see `rtmpose_sdk.exporters.layers.layers`. Products of two
            activations (the attention), sigmoids and norms stay in float always.

    Raises:
        EngineError: ONNX Runtime, which calibrates, does not know an operator of the graph.
    """

    def __init__(
        self,
        graph: onnx.ModelProto,
        card: ModelCard,
        calibration: NDArray[np.uint8],
        scheme: Scheme = Scheme(),  # noqa: B008 - immutable
    ) -> None:
        from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

        self.layers = layers(graph)
        self._scheme = scheme
        self._graph = shape_inference.infer_shapes(graph)
        with tempfile.TemporaryDirectory() as folder, _quiet():
            source = Path(folder) / "graph.onnx"
            onnx.save(self._graph, str(source))
            try:
                calibrator = create_calibrator(
                    source,
                    op_types_to_calibrate=sorted({layer.kind for layer in self.layers}),
                    augmented_model_path=str(Path(folder) / "augmented.onnx"),
                    calibrate_method=CalibrationMethod.MinMax,
                )
                calibrator.collect_data(_Crops(graph.graph.input[0].name, card, calibration))
                self._ranges: Any = calibrator.compute_data()
            except Exception as error:  # noqa: BLE001 - the engine raises kinds of its own
                why = " ".join(str(error).split()).rpartition("Fatal error: ")[2][:300]
                raise EngineError(
                    f"int8 is calibrated on ONNX Runtime, which cannot run the graph of {card.name}: {why}"
                ) from None
            del calibrator

    def quantize(self, names: Collection[str]) -> onnx.ModelProto:
        """The graph with the layers of these names in int8, all else in float."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        model = onnx.ModelProto()
        model.CopyFrom(self._graph)
        if not names:
            return model
        with _quiet():
            quantizer = QDQQuantizer(
                model,
                per_channel=True,
                reduce_range=self._scheme.weight_bits == 7,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QInt8 if self._scheme.symmetric else QuantType.QUInt8,
                tensors_range=self._ranges,
                nodes_to_quantize=list(names),
                nodes_to_exclude=[],
                op_types_to_quantize=sorted({layer.kind for layer in self.layers}),
                extra_options={
                    "ActivationSymmetric": self._scheme.symmetric,
                    "QuantizeBias": not self._scheme.symmetric,  # TensorRT takes no int32 bias
                },
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()  # it leaves nodes before what feeds them
        result: onnx.ModelProto = quantizer.model.model
        return result


class _Crops:
    """What ONNX Runtime's calibrators read: one feed after the other, then None."""

    def __init__(self, name: str, card: ModelCard, crops: NDArray[np.uint8]) -> None:
        normalize = Normalizer(card)
        self._feeds = iter([{name: normalize(crop[None])} for crop in crops])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return self._feeds


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser warns about a pre-processing that is done here, its engine about unused constants."""
    import onnxruntime

    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(_ERRORS)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        onnxruntime.set_default_logger_severity(_WARNINGS)
