"""How far did keypoints and boxes move between two networks' outputs? In px of the network input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import iou
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_boxes import decode_boxes
from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.decode_simcc import decode_simcc

Array = NDArray[Any]
Outputs = dict[str, Array]
DECODERS = ("simcc", "heatmap")
"""Of pose networks whose outputs `keypoint_shifts` reads."""


def keypoint_shifts(want: Outputs, have: Outputs, card: ModelCard, tie: float) -> tuple[Array, int]:
    """Shifts (N*K,), 0 where it is a tie, and the number of ties.

    Args:
        want, have: outputs of a pose model, the reference's and the other's.
        card: decoder and its numbers.
        tie: two bins of the reference whose heights differ by less than twice this part of its largest
            value are a tie: neither place is wrong.
    """
    if card.decoder == "heatmap":
        return _heatmap_shifts(want["heatmaps"], have["heatmaps"], card, tie)
    ratio, beta = card.simcc_split_ratio, card.simcc_beta
    expected = decode_simcc(want["simcc_x"], want["simcc_y"], ratio, beta).keypoints
    found = decode_simcc(have["simcc_x"], have["simcc_y"], ratio, beta).keypoints
    ties = 0
    shifts = np.zeros(expected.shape[:2])
    for axis, name in enumerate(("simcc_x", "simcc_y")):
        rows = want[name]
        bins = np.rint(found[..., axis] * ratio).astype(np.intp)
        at_found = np.take_along_axis(rows, bins[..., None], axis=-1)[..., 0]
        moved = np.abs(expected[..., axis] - found[..., axis])
        tied = (moved > 0) & (rows.max(axis=-1) - at_found <= 2 * tie * np.abs(rows).max())
        ties += int(tied.sum())
        shifts = np.maximum(shifts, np.where(tied, 0, moved))
    return shifts.ravel(), ties


def _heatmap_shifts(want: Array, have: Array, card: ModelCard, tie: float) -> tuple[Array, int]:
    """The same for heatmaps."""
    expected, found = (
        decode_heatmap(maps, card.input_size, card.heatmap_udp, card.heatmap_peak).keypoints
        for maps in (want, have)
    )
    rows, cells = want.reshape(*want.shape[:2], -1), have.reshape(*have.shape[:2], -1)
    at_found = np.take_along_axis(rows, cells.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    tied = (rows.argmax(axis=-1) != cells.argmax(axis=-1)) & (
        rows.max(axis=-1) - at_found <= 2 * tie * np.abs(rows).max()
    )
    moved = np.abs(expected - found).max(axis=-1)
    return np.where(tied, 0, moved).ravel(), int(tied.sum())


def box_shifts(want: Outputs, have: Outputs, card: ModelCard) -> Array:
    """Largest shift of a side of each picture's best boxes, as many as its detections may be."""
    best = np.argsort(-want["scores"], axis=1)[:, : card.max_detections]
    rows = np.arange(len(best))[:, None]
    moved = np.abs(have["boxes"][rows, best] - want["boxes"][rows, best]).max(axis=-1)
    return np.asarray(moved.ravel())


def kept_box_shifts(
    reference: list[Outputs], outputs: list[Outputs], card: ModelCard, slack: float
) -> tuple[Array, float]:
    """Shift of every box that a graph's NMS kept, and the largest difference of a score.

    Which of two boxes with equal scores survives is chance, so the sets are not compared. Instead every
    kept box must be one of the reference's, and every box of the reference must be kept or overlap a
    kept one that is no worse. A box that is missing counts as an infinite shift.

    Args:
        reference: all boxes before NMS, or those that the same graph's NMS kept.
        outputs: picture by picture.
        card: thresholds.
        slack: scores and overlaps within this of a threshold may fall on either side of it.
    """
    shifts: list[Array] = [np.zeros(1)]
    worst_score = 0.0
    for want, got in zip(_per_picture(reference), outputs, strict=True):
        boxes, scores = _boxes(want, card)
        kept, kept_scores = _boxes(got, card)
        clear = kept_scores > card.score_threshold + slack
        if clear.any() and not len(boxes):
            shifts.append(np.full(clear.sum(), np.inf))
        elif clear.any():
            moved = np.abs(kept[clear, None] - boxes[None]).max(axis=2)
            shifts.append(moved.min(axis=1))
            change = np.abs(kept_scores[clear] - scores[moved.argmin(axis=1)])
            worst_score = max(worst_score, float(change.max()))
        if len(kept) >= card.max_detections:
            continue  # cut off: what is missing may have been too many
        sure = scores > card.score_threshold + slack
        covered = (iou(boxes[sure], kept) > card.nms_iou_threshold - slack) & (
            kept_scores[None] > scores[sure, None] - slack
        )
        shifts.append(np.full((~covered.any(axis=1)).sum(), np.inf))
    return np.concatenate(shifts), worst_score


def _boxes(outputs: Outputs, card: ModelCard) -> tuple[Array, Array]:
    """Boxes (M,4) and scores (M,) of one picture."""
    if "dets" in outputs:
        return decode_boxes(outputs, card, card.score_threshold)
    boxes, scores = outputs["boxes"], outputs["scores"]
    return (boxes[0], scores[0]) if boxes.ndim == 3 else (boxes, scores)


def _per_picture(batches: list[Outputs]) -> list[Outputs]:
    """Batches taken apart; what NMS kept is of one picture already."""
    pictures = []
    for batch in batches:
        if "batch_index" in batch:
            pictures.append(batch)
            continue
        count = len(next(iter(batch.values())))
        pictures += [{name: v[i : i + 1] for name, v in batch.items()} for i in range(count)]
    return pictures
