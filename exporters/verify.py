"""Does an artifact give the keypoints that the PyTorch model gives? The gate after every export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode import decode_simcc, iou
from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.graph import DecodedBoxes, output_names
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import Runtime

Array = NDArray[Any]

RELATIVE_TOLERANCE = {"fp32": 1e-4, "fp16-storage": 5e-3}
"""Largest difference of an output, in units of that output's largest value."""
PIXEL_TOLERANCE = {"fp32": 0.5, "fp16-storage": 1.0}
"""Largest shift of a keypoint or of a box's side, in px of the network input; ties aside."""
_BATCH = 16
_NMS_SLACK = 1e-3
"""Scores and overlaps this near to a threshold may fall on either side of it."""


@dataclass(frozen=True)
class Verification:
    """What was measured, artifact against PyTorch.

    Attributes:
        verified: every figure is within its tolerance.
        crops: number of real crops (pose) or pictures (detect) compared.
        relative_difference: largest difference of each output / that output's largest value.
        pixel_difference: largest shift after decode, in px of the network input, ties aside.
        ties: keypoints whose peak moved between two bins that PyTorch itself gives the same height,
            up to the tolerance: neither place is wrong.
        not_finite: number of NaN and infinite values.
        relative_tolerance, pixel_tolerance: what was allowed.
    """

    verified: bool
    crops: int
    relative_difference: dict[str, float]
    pixel_difference: float
    ties: int
    not_finite: int
    relative_tolerance: float
    pixel_tolerance: float

    def as_dict(self) -> dict[str, Any]:
        """For the card."""
        return asdict(self)


def verify(
    network: nn.Module,
    runtime: Runtime,
    card: ModelCard,
    images: NDArray[np.uint8],
    storage: str = "fp32",
) -> Verification:
    """Run both on real crops and compare.

    Args:
        network: the PyTorch model.
        runtime: the opened artifact.
        card: the artifact's card.
        images: (N,h,w,3) uint8 BGR of the card's input size: person crops, or letterboxed pictures.
        storage: which tolerances hold, a key of `RELATIVE_TOLERANCE`.

    Raises:
        InputError: no crops.
    """
    if len(images) == 0:
        raise InputError("there is no crop to verify with; give pictures with persons")
    relative = RELATIVE_TOLERANCE[storage]
    reference = _reference(network, card, images)
    outputs = _artifact(runtime, card, images)
    not_finite = sum(int((~np.isfinite(v)).sum()) for found in outputs for v in found.values())
    differences: dict[str, float] = {}
    pixels, ties = float("inf"), 0
    if card.decoder == "boxes_nms":
        differences["scores"] = float("inf")
        if not not_finite:
            pixels, differences["scores"] = _compare_kept_boxes(reference, outputs, card)
    else:
        joined = {name: np.concatenate([found[name] for found in outputs]) for name in outputs[0]}
        expected = {name: np.concatenate([r[name] for r in reference]) for name in reference[0]}
        for name, want in expected.items():
            differences[name] = float(np.abs(joined[name] - want).max() / np.abs(want).max())
        if not not_finite and card.task == "pose":
            pixels, ties = _compare_keypoints(expected, joined, card, relative)
        elif not not_finite:
            pixels = float(np.abs(joined["boxes"] - expected["boxes"]).max())
    allowed = PIXEL_TOLERANCE[storage]
    return Verification(
        verified=not_finite == 0
        and all(value <= relative for value in differences.values())
        and pixels <= allowed,
        crops=len(images),
        relative_difference=differences,
        pixel_difference=pixels,
        ties=ties,
        not_finite=not_finite,
        relative_tolerance=relative,
        pixel_tolerance=allowed,
    )


def _reference(network: nn.Module, card: ModelCard, images: NDArray[np.uint8]) -> list[dict[str, Array]]:
    """PyTorch's outputs, from tensors that the SDK's own normaliser made: not the graph's."""
    plain = replace(card, input_layout="nchw", input_dtype="float32")
    normalize = Normalizer(plain)
    module = DecodedBoxes(network, plain) if card.task == "detect" else network
    names = output_names(card)
    results = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            tensor = torch.from_numpy(normalize(images[start : start + _BATCH]))
            outputs = module.eval()(tensor)
            outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
            results.append({n: v.numpy() for n, v in zip(names, outputs, strict=True)})
    return results


def _artifact(runtime: Runtime, card: ModelCard, images: NDArray[np.uint8]) -> list[dict[str, Array]]:
    normalize = Normalizer(card)
    names = [spec.name for spec in runtime.outputs]
    step = 1 if card.decoder == "boxes_nms" else _BATCH
    return [
        dict(zip(names, runtime.run(normalize(images[i : i + step])), strict=True))
        for i in range(0, len(images), step)
    ]


def _compare_keypoints(
    expected: dict[str, Array], found: dict[str, Array], card: ModelCard, tolerance: float
) -> tuple[float, int]:
    """Largest shift in px (ties aside) and the number of ties."""
    if card.decoder == "heatmap":
        return _compare_heatmaps(expected["heatmaps"], found["heatmaps"], card, tolerance)
    ratio, beta = card.simcc_split_ratio, card.simcc_beta
    want = decode_simcc(expected["simcc_x"], expected["simcc_y"], ratio, beta).keypoints
    have = decode_simcc(found["simcc_x"], found["simcc_y"], ratio, beta).keypoints
    worst, ties = 0.0, 0
    for axis, name in enumerate(("simcc_x", "simcc_y")):
        rows = expected[name]
        bins = np.rint(have[..., axis] * ratio).astype(np.intp)
        at_found = np.take_along_axis(rows, bins[..., None], axis=-1)[..., 0]
        moved = np.abs(want[..., axis] - have[..., axis])
        tie = (moved > 0) & (rows.max(axis=-1) - at_found <= 2 * tolerance * np.abs(rows).max())
        ties += int(tie.sum())
        worst = max(worst, float(np.where(tie, 0, moved).max()))
    return worst, ties


def _compare_heatmaps(
    expected: Array, found: Array, card: ModelCard, tolerance: float
) -> tuple[float, int]:
    """The same for heatmaps."""
    want, have = (
        decode_heatmap(maps, card.input_size, card.heatmap_udp).keypoints for maps in (expected, found)
    )
    rows, cells = expected.reshape(*expected.shape[:2], -1), found.reshape(*found.shape[:2], -1)
    at_found = np.take_along_axis(rows, cells.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    tie = (rows.argmax(axis=-1) != cells.argmax(axis=-1)) & (
        rows.max(axis=-1) - at_found <= 2 * tolerance * np.abs(rows).max()
    )
    moved = np.abs(want - have).max(axis=-1)
    return float(np.where(tie, 0, moved).max()), int(tie.sum())


def _compare_kept_boxes(
    reference: list[dict[str, Array]], outputs: list[dict[str, Array]], card: ModelCard
) -> tuple[float, float]:
    """Largest shift of a side in px and of a score: boxes that a graph's NMS kept, against PyTorch's.

    Which of two boxes with equal scores survives is chance, so the sets are not compared. Instead every
    kept box must be one of PyTorch's, and every box of PyTorch's must be kept or overlap a kept one that
    is no worse. A box that is missing counts as an infinite shift.
    """
    worst_px, worst_score = 0.0, 0.0
    for want, got in zip(_per_picture(reference), outputs, strict=True):
        boxes, scores = want["boxes"][0], want["scores"][0]
        kept, kept_scores = got["boxes"], got["scores"]
        if len(kept):
            shifts = np.abs(kept[:, None] - boxes[None]).max(axis=2)
            nearest = shifts.argmin(axis=1)
            worst_px = max(worst_px, float(shifts.min(axis=1).max()))
            worst_score = max(worst_score, float(np.abs(kept_scores - scores[nearest]).max()))
        if len(kept) >= card.max_detections:
            continue  # cut off: what is missing may have been too many
        sure = scores > card.score_threshold + _NMS_SLACK
        covered = (iou(boxes[sure], kept) > card.nms_iou_threshold - _NMS_SLACK) & (
            kept_scores[None] > scores[sure, None] - _NMS_SLACK
        )
        if not covered.any(axis=1).all():
            return float("inf"), worst_score
    return worst_px, worst_score


def _per_picture(batches: list[dict[str, Array]]) -> list[dict[str, Array]]:
    return [
        {name: values[i : i + 1] for name, values in batch.items()}
        for batch in batches
        for i in range(len(next(iter(batch.values()))))
    ]
