"""The card of a network before anything about it is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rtmpose_sdk.card import IMAGENET_MEAN_RGB, IMAGENET_STD_RGB, RTMPOSE_BETA, RTMW_BETA, ModelCard
from rtmpose_sdk.keypoint_sets import KeypointSet, get_keypoint_set, keypoint_set_names

InputKind = Literal["image", "tensor"]


def new_card(
    name: str,
    input_size: tuple[int, int],
    keypoint_set: str | KeypointSet = "",
    *,
    input_kind: InputKind = "image",
    nms: bool = False,
    heatmaps: bool = False,
    split_ratio: float = 2.0,
) -> ModelCard:
    """The card of a network of the RTMPose or RTMDet family before anything is measured.

    Args:
        name: of the network.
        input_size: (width, height) px.
        keypoint_set: a known set's name, or a set of the user's own (or its file), which the card defines.
        input_kind: a BGR picture, or a normalised tensor.
        nms: detector: NMS in the graph.
        heatmaps: pose: the network gives (unbiased) heatmaps instead of SimCC.
        split_ratio: SimCC bins per px.
    """
    detect = name.startswith("rtmdet")
    common: dict[str, Any] = {
        "name": name,
        "input_size": input_size,
        "input_layout": "nhwc" if input_kind == "image" else "nchw",
        "input_dtype": "uint8" if input_kind == "image" else "float32",
    }
    if detect:
        return ModelCard(
            **common,
            task="detect",
            decoder="boxes_nms" if nms else "boxes",
            letterbox="fitted",
            color_order="bgr",
            mean=IMAGENET_MEAN_RGB[::-1],
            std=IMAGENET_STD_RGB[::-1],
        )
    own = get_keypoint_set(keypoint_set) if isinstance(keypoint_set, str) else keypoint_set
    return ModelCard(
        **common,
        task="pose",
        decoder="heatmap" if heatmaps else "simcc",
        heatmap_udp=heatmaps,
        color_order="rgb",
        mean=IMAGENET_MEAN_RGB,
        std=IMAGENET_STD_RGB,
        keypoint_set=own.name,
        keypoint_definition={} if own.name in keypoint_set_names() else own.definition(),
        simcc_split_ratio=split_ratio,
        simcc_beta=RTMW_BETA if name.startswith("rtmw") else RTMPOSE_BETA,
    )


def describe_weights(card: ModelCard, weights: Path, license_name: str, notes: str) -> ModelCard:
    """The card with the weights' origin: file name, sha256, licence."""
    return replace(
        card,
        weights_source=weights.name,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        license=license_name,
        notes=notes,
    )


def with_accuracy(card: ModelCard, accuracy: Mapping[str, float]) -> ModelCard:
    """The card with measured figures."""
    return replace(card, accuracy=dict(accuracy))
