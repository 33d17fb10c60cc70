"""Which layers have to stay in float for int8 to keep its keypoints? Found by measuring each one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.int8 import Int8Quantizer
from rtmpose_sdk.exporters.layers import Layer
from rtmpose_sdk.exporters.shifts import Outputs
from rtmpose_sdk.exporters.verify import Reference, runtime_reference
from rtmpose_sdk.runtimes import open_runtime

PROBE_CROPS = 16
"""Crops that every layer is measured on."""
ERROR_BUDGET = 0.002
"""Mean squared error of the outputs / their mean square, that int8 may cost."""


class Sensitivity(NamedTuple):
    """A layer, and the error of the network's outputs when this one alone is in int8."""

    layer: Layer
    error: float


def measure_sensitivity(
    quantizer: Int8Quantizer,
    card: ModelCard,
    reference: Reference,
    crops: NDArray[np.uint8],
    track: Callable[[Sequence[Layer]], Iterable[Layer]] = iter,
) -> list[Sensitivity]:
    """Error of every layer, in the graph's order.

    Args:
        quantizer: of the graph.
        card: of the graph.
        reference: the fp32 model.
        crops: (N,h,w,3) uint8 BGR that were not calibrated with; the first few are used.
        track: shows progress.
    """
    crops = crops[:PROBE_CROPS]
    if len(crops) == 0:
        raise InputError("there is no crop to measure the layers' sensitivity with")
    want = reference(crops)
    return [
        Sensitivity(layer, output_error(want, _run(quantizer.quantize([layer.name]), card, crops)))
        for layer in track(quantizer.layers)
    ]


def choose_float_layers(found: Iterable[Sensitivity], budget: float = ERROR_BUDGET) -> tuple[str, ...]:
    """Layers that stay in float, so that the errors of the others add up to no more than the budget.

    Errors of single layers add up well, for they are small and independent. Those that cost most
    accuracy for the multiply-adds that they save are left out first.
    """
    ranked = sorted(found, key=lambda s: s.error / max(s.layer.multiply_adds, 1), reverse=True)
    total = sum(s.error for s in ranked)
    names = []
    for sensitivity in ranked:
        if total <= budget:
            break
        names.append(sensitivity.layer.name)
        total -= sensitivity.error
    return tuple(names)


def output_error(want: list[Outputs], have: list[Outputs]) -> float:
    """Mean squared difference / mean square, the mean of all outputs; infinite where one is not finite."""
    errors = []
    for name in want[0]:
        a, b = (np.concatenate([batch[name] for batch in batches]) for batches in (want, have))
        errors.append(float(np.square(b - a).mean() / np.square(a).mean()))
    return float(np.mean(errors)) if np.isfinite(errors).all() else float("inf")


def _run(model: onnx.ModelProto, card: ModelCard, crops: NDArray[np.uint8]) -> list[Outputs]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.onnx"
        onnx.save(model, str(file))
        with open_runtime(file) as runtime:
            return runtime_reference(runtime, card)(crops)
