"""Where are the boxes in a detector's outputs? One reader for each of the cards' decoders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import suppress
from rtmpose_sdk.card import Decoder, ModelCard
from rtmpose_sdk.decode_yolox import decode_yolox
from rtmpose_sdk.errors import EngineError

Floats = NDArray[np.float32]
Outputs = dict[str, NDArray[np.generic]]


def decode_boxes(outputs: Outputs, card: ModelCard, score_threshold: float) -> tuple[Floats, Floats]:
    """Boxes (M,4) xyxy px of the network input and scores (M,), best first, of one picture.

    Args:
        outputs: the artifact's outputs by name; what they are is the card's `decoder`.
        card: the detector's card.
        score_threshold: boxes below it are left out.

    Raises:
        EngineError: the outputs hold NaN or infinity.
    """
    boxes, scores = _READERS[card.decoder](outputs, card)
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise EngineError(
            "the detector's output holds NaN or infinity: the artifact or its precision is broken on "
            "this device; export it in fp32"
        )
    keep = scores >= score_threshold
    boxes, scores = boxes[keep], scores[keep]
    if card.decoder in _WITHOUT_NMS:
        kept = suppress(boxes, scores, card.nms_iou_threshold)
        boxes, scores = boxes[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")[: card.max_detections]
    return boxes[order], scores[order]


def _all_boxes(outputs: Outputs, card: ModelCard) -> tuple[Floats, Floats]:
    return np.asarray(outputs["boxes"][0], np.float32), np.asarray(outputs["scores"][0], np.float32)


def _kept_boxes(outputs: Outputs, card: ModelCard) -> tuple[Floats, Floats]:
    return np.asarray(outputs["boxes"], np.float32), np.asarray(outputs["scores"], np.float32)


def _mmdeploy_dets(outputs: Outputs, card: ModelCard) -> tuple[Floats, Floats]:
    dets = np.asarray(outputs["dets"][0], np.float32)
    person = np.asarray(outputs["labels"][0]) == 0
    return dets[person, :4], dets[person, 4]


_READERS: dict[Decoder, Callable[[Outputs, ModelCard], tuple[Floats, Floats]]] = {
    "boxes": _all_boxes,
    "boxes_nms": _kept_boxes,
    "mmdeploy_dets": _mmdeploy_dets,
    "yolox": decode_yolox,
}
"""Decoder → boxes (A,4) xyxy px of the network input and scores (A,) of one picture's persons."""
_WITHOUT_NMS: tuple[Decoder, ...] = ("boxes", "yolox")
"""Decoders of graphs that give overlapping boxes."""
