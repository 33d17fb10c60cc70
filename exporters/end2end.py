"""One file from picture to keypoints: crop, colour, network, decode and the way back in one ONNX graph."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import helper

from rtmpose_sdk.card import END2END_KEY, ModelCard
from rtmpose_sdk.decode_simcc import CONFIDENCE_WINDOW_SIGMAS, SIMCC_SIGMA_DIVISOR
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.end2end_crop import CroppedBoxes, Picture, crop, letterbox, picture_input
from rtmpose_sdk.exporters.onnx_graph import OnnxGraph, Value
from rtmpose_sdk.outputs import find_outputs
from rtmpose_sdk.runtimes import TensorSpec

Kind = Literal["pose", "detector", "pipeline"]
FARTHEST = 1e6
"""px: a box beyond is none."""
USAGE = {
    "pose": "image: (H,W,3) uint8 BGR; boxes: (N,4) float32 xyxy px, N may be 0.\n"
    "keypoints (N,K,2) px of image, scores (N,K), confidences (N,K) 0...1; a box that is none gives zeros.",
    "detector": "image: (H,W,3) uint8 BGR.\n"
    "boxes (M,4) float32 xyxy px of image, box_scores (M,), best first; nobody is M = 0.",
    "pipeline": "image: (H,W,3) uint8 BGR.\n"
    "boxes (M,4) xyxy px of image, box_scores (M,), keypoints (M,K,2) px, scores (M,K), confidences (M,K).",
}


@dataclass(frozen=True)
class Part:
    """A network that goes into the file: its graph, as `rtmpose-export` writes it, its card, its file."""

    graph: onnx.ModelProto
    card: ModelCard
    file: Path | None = None


def build_end2end(
    kind: Kind, pose: Part | None, detector: Part | None, detection_threshold: float
) -> onnx.ModelProto:
    """The whole graph, with its metadata.

    Args:
        kind: "pose" needs a pose network, "detector" a detector, "pipeline" both.
        pose: SimCC network.
        detector: RTMDet, with NMS in its graph or without.
        detection_threshold: least score of a box, 0...1; fixed in the file.

    Raises:
        InputError: a network of another kind.
    """
    for part, task, what in ((pose, "pose", "a pose network"), (detector, "detect", "a detector")):
        if part is not None and part.card.task != task:
            given = {"pose": "a pose network", "detect": "a detector"}[part.card.task]
            raise InputError(f"{part.card.name} is {given}, expected {what}; are the two files swapped?")
    g = OnnxGraph()
    picture = picture_input(g)
    metadata = {END2END_KEY: kind, "usage": USAGE[kind]}
    if kind != "pose":
        metadata["detection_threshold"] = str(detection_threshold)
    if kind == "pose":
        boxes = g.input("boxes", "float32", ["persons", 4])
        rows = "persons"
    else:
        assert detector is not None
        rows = "detections"
        boxes, scores = _detect(g, picture, detector, detection_threshold)
        g.output("boxes", boxes, "float32", [rows, 4])
        g.output("box_scores", scores, "float32", [rows])
        metadata["detector_card"] = detector.card.to_json()
    if kind != "detector":
        assert pose is not None
        keypoint_set = pose.card.keypoints()
        for name, value in _pose(g, picture, boxes, pose).items():
            size: list[int | str] = [rows, len(keypoint_set)]
            if name == "keypoints":
                size.append(2)
            g.output(name, value, "float32", size)
        metadata["pose_card"] = pose.card.to_json()
        metadata["keypoint_names"] = json.dumps(keypoint_set.names)
        metadata["skeleton"] = json.dumps(keypoint_set.skeleton)
    return g.model(metadata)


def _detect(g: OnnxGraph, picture: Picture, part: Part, threshold: float) -> tuple[Value, Value]:
    """Boxes (M,4) xyxy px of the picture and scores (M,), best first."""
    card = part.card
    canvas = letterbox(g, picture, card)
    outputs = _network(g, part, canvas.images, "detector/")
    if card.decoder == "mmdeploy_dets":
        dets, labels = (g.op("Squeeze", outputs[name], [0]) for name in ("dets", "labels"))
        boxes = g.op("Slice", dets, [0], [4], [1])
        scores = g.op("Squeeze", g.op("Slice", dets, [4], [5], [1]), [1])
        person = g.op("Equal", g.cast(labels, "int64"), 0)
        kept = g.op("And", person, g.op("GreaterOrEqual", scores, threshold))
    elif card.decoder == "boxes_nms":
        boxes, scores = outputs["boxes"], outputs["scores"]
        kept = g.op("GreaterOrEqual", scores, threshold)
    elif card.decoder == "boxes":
        boxes, scores = suppressed(g, outputs, card, threshold)
        kept = g.op("GreaterOrEqual", scores, threshold)
    else:
        raise InputError(f"{card.name}: decoder {card.decoder} has no end2end graph; take an RTMDet")
    boxes = g.op("Mul", boxes, canvas.factors)
    sides = g.op("Concat", picture.width, picture.height, picture.width, picture.height, axis=0)
    boxes = g.op("Min", g.op("Max", boxes, 0.0), g.cast(sides, "float32"))
    x1, y1, x2, y2 = g.columns(boxes, 1, 4)
    solid = g.op("Squeeze", g.op("And", g.op("Greater", x2, x1), g.op("Greater", y2, y1)), [1])
    # An order of its own: engines need not give what NonMaxSuppression keeps by score.
    weights = g.op("Where", g.op("And", kept, solid), scores, -1.0)
    order = g.ops("TopK", 2, weights, g.op("Shape", weights), axis=0)[1]
    count = g.op("ReduceSum", g.cast(g.op("Greater", weights, -0.5), "int64"), [0])
    count = g.op("Min", count, [card.max_detections])
    order = g.op("Slice", order, [0], count, [0])
    return g.op("Gather", boxes, order), g.op("Gather", scores, order)


def suppressed(
    g: OnnxGraph, outputs: dict[str, Value], card: ModelCard, threshold: float
) -> tuple[Value, Value]:
    """Boxes (M,4) and scores (M,) that NMS keeps of one picture's `boxes` (1,A,4) and `scores` (1,A)."""
    every = (outputs["boxes"], g.op("Unsqueeze", outputs["scores"], [1]))
    limits = ([card.max_detections], [float(card.nms_iou_threshold)])
    chosen = g.op("Gather", g.op("NonMaxSuppression", *every, *limits, [threshold]), [2], axis=1)
    rows = g.op("Squeeze", chosen, [1])
    boxes, scores = (g.op("Gather", g.op("Squeeze", outputs[n], [0]), rows) for n in ("boxes", "scores"))
    return boxes, scores


def _pose(g: OnnxGraph, picture: Picture, boxes: Value, part: Part) -> dict[str, Value]:
    """Keypoints (N,K,2) px of the picture, scores and confidences (N,K)."""
    card = part.card
    if card.decoder != "simcc" or card.crop != "affine":
        raise InputError(
            f"{card.name}: decoder {card.decoder}, crop {card.crop}; end2end graphs are for SimCC networks "
            "with MMPose's affine crop"
        )
    count = g.sizes(boxes, (0,))[0]
    valid = _valid(g, picture, boxes)  # (N,1)
    usable = g.op("Where", valid, boxes, [[0.0, 0.0, 1.0, 1.0]])
    # No person is one who is thrown away: no network is asked about an empty batch.
    missing = g.op("Max", g.op("Sub", [1], count), [0])
    filler = g.op("Expand", [[0.0, 0.0, 1.0, 1.0]], g.op("Concat", missing, [4], axis=0))
    crops = crop(g, picture, g.op("Concat", usable, filler, axis=0), card)
    outputs = _network(g, part, crops.images, "pose/")
    decoded = _decode(g, outputs, crops, card)
    valid = g.op("Unsqueeze", valid, [2])  # (N,1,1)
    flat = g.op("Squeeze", valid, [2])
    return {
        name: g.op(
            "Where", valid if name == "keypoints" else flat, g.op("Slice", value, [0], count, [0]), 0.0
        )
        for name, value in decoded.items()
    }


def _valid(g: OnnxGraph, picture: Picture, boxes: Value) -> Value:
    """(N,1): finite, of some area, and partly inside. A comparison with NaN is false."""
    x1, y1, x2, y2 = g.columns(boxes, 1, 4)
    width, height = g.cast(picture.width, "float32"), g.cast(picture.height, "float32")
    checks = [
        g.op("Less", x1, x2),
        g.op("Less", y1, y2),
        g.op("Less", x1, width),
        g.op("Less", y1, height),
        g.op("Greater", x2, 0.0),
        g.op("Greater", y2, 0.0),
        *(g.op("Less", g.op("Abs", v), FARTHEST) for v in (x1, y1, x2, y2)),
    ]
    valid = checks[0]
    for check in checks[1:]:
        valid = g.op("And", valid, check)
    return valid


def _network(g: OnnxGraph, part: Part, images: Value, prefix: str) -> dict[str, Value]:
    """The network's outputs by their role, for (N,h,w,3) uint8 BGR."""
    card, feed = part.card, images
    if not card.takes_image:
        feed = g.op("Transpose", g.cast(images, "float32"), perm=[0, 3, 1, 2])
        if card.color_order == "rgb":
            feed = g.op("Gather", feed, [2, 1, 0], axis=1)
        mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (card.mean, card.std))
        feed = g.op("Div", g.op("Sub", feed, mean), std)
    values = list(g.inline(part.graph, prefix, feed).values())
    return {
        role: values[place] for role, place in find_outputs(_specs(part.graph), card, card.name).items()
    }


def _specs(graph: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            tuple(
                d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim
            ),
        )
        for value in graph.graph.output
    )


def _decode(
    g: OnnxGraph, outputs: dict[str, Value], crops: CroppedBoxes, card: ModelCard
) -> dict[str, Value]:
    """SimCC peaks (paper section 3.1) as px of the picture; see `rtmpose_sdk.decode_simcc`."""
    places, peaks, masses = [], [], []
    for role, side, origin in zip(("simcc_x", "simcc_y"), card.input_size, (crops.x, crops.y), strict=True):
        values = outputs[role]
        bins = round(side * card.simcc_split_ratio)
        peak = g.op("ReduceMax", values, [-1], keepdims=1)
        index = g.cast(g.op("ArgMax", values, axis=-1, keepdims=1), "float32")
        odds = g.op("Exp", g.op("Mul", g.op("Sub", values, peak), float(card.simcc_beta)))
        reach = math.ceil(CONFIDENCE_WINDOW_SIGMAS * math.sqrt(bins) / SIMCC_SIGMA_DIVISOR)
        away = g.op("Abs", g.op("Sub", np.arange(bins, dtype=np.float32), index))
        near = g.op("Where", g.op("LessOrEqual", away, float(reach)), odds, 0.0)
        mass = g.op(
            "Div", g.op("ReduceSum", near, [-1], keepdims=1), g.op("ReduceSum", odds, [-1], keepdims=1)
        )
        scale = g.op("Unsqueeze", g.op("Div", crops.scale, float(card.simcc_split_ratio)), [2])
        places.append(g.op("Add", g.op("Mul", index, scale), g.op("Unsqueeze", origin, [2])))
        peaks.append(peak)
        masses.append(mass)
    return {
        "keypoints": g.op("Concat", *places, axis=2),
        "scores": g.op("Squeeze", g.op("Min", *peaks), [2]),
        "confidences": g.op("Squeeze", g.op("Min", g.op("Min", *masses), 1.0), [2]),
    }
