"""Does an artifact give the keypoints that its reference gives? The gate after every export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from rtmpose_sdk.benchmarks.differences import OutputDifferences
from rtmpose_sdk.benchmarks.shifts import Outputs, box_shifts, kept_box_shifts, keypoint_shifts
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.crops import Images
from rtmpose_sdk.exporters.graph import BoxDecode, output_names
from rtmpose_sdk.exporters.tolerance import TOLERANCES
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import Runtime

Reference = Callable[[Images], list[Outputs]]
"""Pictures (N,h,w,3) uint8 BGR of the network's size → named outputs, batch by batch."""

KEPT_BOXES = ("boxes_nms", "mmdeploy_dets")
"""Decoders of graphs that hold their NMS: run picture by picture."""
_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was measured, artifact against reference.

    Attributes:
        verified: every figure is within its tolerance.
        what: what ran: "artifact", or "graph" where the engine's device is not here, or computes fp16 in
            fp32, and the ONNX graph that it was built from ran instead.
        precision: whose tolerances hold, a key of `TOLERANCES`.
        crops: number of real crops (pose) or pictures (detect) compared.
        largest_difference, mean_difference: of each output / that output's largest value.
        not_finite: number of NaN and infinite values.
        median_shift, p99_shift, worst_shift: px of the network input, ties aside.
        ties: keypoints whose peak moved between two bins to which the reference itself gives nearly the
            same height: neither place is wrong.
        reference_accuracy, accuracy: AP of both, where annotations were given.
    """

    verified: bool
    what: str
    precision: str
    crops: int
    largest_difference: dict[str, float]
    mean_difference: dict[str, float]
    not_finite: int
    median_shift: float
    p99_shift: float
    worst_shift: float
    ties: int
    reference_accuracy: float | None = None
    accuracy: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the card; what is infinite becomes None, for JSON has no infinity."""
        return {key: _finite(value) for key, value in asdict(self).items()}

    def with_accuracy(self, reference: float, found: float) -> Verification:
        """The same with the AP of both, which has to hold as well."""
        kept = found >= reference - TOLERANCES[self.precision].accuracy
        return replace(self, verified=self.verified and kept, reference_accuracy=reference, accuracy=found)


def verify(
    reference: Reference, runtime: Runtime, card: ModelCard, images: Images, *, precision: str = "fp32"
) -> Verification:
    """Run both on real crops and compare.

    Args:
        reference: the fp32 model, see `torch_reference` and `runtime_reference`.
        runtime: the opened artifact.
        card: the artifact's card.
        images: (N,h,w,3) uint8 BGR of the card's input size: person crops, or letterboxed pictures.
        precision: which tolerances hold, a key of `TOLERANCES`.

    Raises:
        InputError: no crops.
    """
    if len(images) == 0:
        raise InputError("there is no crop to verify with; give pictures with persons")
    tolerance = TOLERANCES[precision]
    expected, found = reference(images), runtime_reference(runtime, card)(images)
    not_finite = sum(int((~np.isfinite(v)).sum()) for outputs in found for v in outputs.values())
    largest: dict[str, float] = {}
    mean: dict[str, float] = {}
    shifts, ties = np.array([np.inf]), 0
    if card.decoder in KEPT_BOXES:
        largest["scores"] = np.inf
        if not not_finite:
            shifts, largest["scores"] = kept_box_shifts(expected, found, card, tolerance.slack)
    else:
        want, have = _join(expected), _join(found)
        differences = OutputDifferences()
        differences.add(want, have)
        for name, difference in differences.by_output().items():
            largest[name], mean[name] = difference
        if not not_finite and card.task == "pose":
            shifts, ties = keypoint_shifts(want, have, card, tolerance.tie)
        elif not not_finite:
            shifts = box_shifts(want, have, card)
    median, p99 = (float(v) for v in np.percentile(shifts, [50, 99], method="higher"))
    worst = float(shifts.max())
    limits = (
        *((value, tolerance.relative) for value in largest.values()),
        (median, tolerance.median),
        (p99, tolerance.p99),
        (worst, tolerance.worst),
    )
    within = all(limit is None or value <= limit for value, limit in limits)
    return Verification(
        verified=not_finite == 0 and within,
        what="artifact",
        precision=precision,
        crops=len(images),
        largest_difference=largest,
        mean_difference=mean,
        not_finite=not_finite,
        median_shift=median,
        p99_shift=p99,
        worst_shift=worst,
        ties=ties,
    )


def torch_reference(network: nn.Module, card: ModelCard) -> Reference:
    """PyTorch's outputs, from tensors that the SDK's own normaliser made: not the graph's."""
    plain = replace(card, input_layout="nchw", input_dtype="float32")
    normalize = Normalizer(plain)
    module = nn.Sequential(network, BoxDecode(plain)) if card.task == "detect" else network
    names = output_names(card)

    def outputs(images: Images) -> list[Outputs]:
        results = []
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                tensor = torch.from_numpy(normalize(images[start : start + _BATCH]))
                values = module.eval()(tensor)
                values = (values,) if isinstance(values, torch.Tensor) else values
                results.append({n: v.numpy() for n, v in zip(names, values, strict=True)})
        return results

    return outputs


def runtime_reference(runtime: Runtime, card: ModelCard) -> Reference:
    """Outputs of an opened artifact, in batches that it takes; too small a last one is filled up."""
    normalize = Normalizer(card)
    names = [spec.name for spec in runtime.outputs]
    least = runtime.inputs[0].shape[0] or runtime.smallest_batch
    most = runtime.inputs[0].shape[0] or runtime.largest_batch or _BATCH
    step = 1 if card.decoder in KEPT_BOXES else max(min(most, _BATCH), least)

    def outputs(images: Images) -> list[Outputs]:
        results = []
        for start in range(0, len(images), step):
            batch = images[start : start + step]
            count = len(batch)
            if count < least:
                batch = np.concatenate([batch, np.zeros((least - count, *batch.shape[1:]), np.uint8)])
            values = runtime.run(normalize(batch))
            cut = values if card.decoder in KEPT_BOXES else tuple(v[:count] for v in values)
            results.append(dict(zip(names, cut, strict=True)))
        return results

    return outputs


def _join(batches: list[Outputs]) -> Outputs:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
