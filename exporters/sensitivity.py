"""Which layers have to stay in float for int8 to keep its keypoints? Found by measuring each one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.int8 import Int8Quantizer, Scheme
from rtmpose_sdk.exporters.layers import Layer, cut_behind_layers
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import open_runtime

Array = NDArray[Any]

PROBE_CROPS = 16
"""Crops that every layer is measured on."""
ERROR_BUDGET = 0.002
"""Mean squared error of the outputs / their mean square, that int8 may cost."""


class Sensitivity(NamedTuple):
    """A layer, and the error of the network's outputs when this one alone is in int8."""

    layer: Layer
    error: float


def measure_sensitivity(
    graph: onnx.ModelProto,
    card: ModelCard,
    crops: NDArray[np.uint8],
    *,
    track: Callable[[Sequence[Layer]], Iterable[Layer]] = iter,
    scheme: Scheme = Scheme(),  # noqa: B008 - immutable
) -> list[Sensitivity]:
    """Error of every layer, in the graph's order, at the outputs of the network's last layers.

    Args:
        graph: the fp32 graph.
        card: how pictures become its input.
        crops: (N,h,w,3) uint8 BGR; the last few are probed with, the others calibrated with.
        track: shows progress.
        scheme: how numbers become int8.

    Raises:
        InputError: too few crops.
    """
    if len(crops) < 2 * PROBE_CROPS:
        raise InputError(
            f"int8 is calibrated on real crops: {len(crops)} were given; expected {2 * PROBE_CROPS} or more"
        )
    short = cut_behind_layers(graph)
    quantizer = Int8Quantizer(short, card, crops[:-PROBE_CROPS], scheme)
    probe = Normalizer(card)(crops[-PROBE_CROPS:])
    want = _run(quantizer.quantize([]), probe)
    return [
        Sensitivity(layer, output_error(want, _run(quantizer.quantize([layer.name]), probe)))
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


def output_error(want: Sequence[Array], have: Sequence[Array]) -> float:
    """Mean squared difference / mean square, the mean of all outputs; infinite where one is not finite."""
    errors = [float(np.square(b - a).mean() / np.square(a).mean()) for a, b in zip(want, have, strict=True)]
    return float(np.mean(errors)) if np.isfinite(errors).all() else float("inf")


def _run(model: onnx.ModelProto, crops: Array) -> list[Array]:
    """Outputs crop by crop, for a graph's batch may be fixed to 1."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.onnx"
        onnx.save(model, str(file))
        with open_runtime(file) as runtime:
            parts = [runtime.run(crop[None]) for crop in crops]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]
