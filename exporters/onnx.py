"""PyTorch model → one ONNX file of plain operators, dynamic batch, the card inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rtmpose_sdk._version import __version__
from rtmpose_sdk.card import CARD_KEY, ModelCard
from rtmpose_sdk.exporters.onnx_graph import name_nodes
from rtmpose_sdk.exporters.trace import traced
from rtmpose_sdk.images import write_bytes

_SMALL_TENSOR = 256
"""Tensors with fewer values stay fp32 in half storage: they hold scales, and weigh nothing."""


def build_onnx(network: nn.Module, card: ModelCard) -> onnx.ModelProto:
    """The artifact's graph, simplified, without the card.

    Args:
        network: the PyTorch model, with its weights.
        card: says what belongs into the graph (input kind, decode, NMS).
    """
    model: onnx.ModelProto = onnxslim.slim(traced(network, card))
    if card.letterbox_step is not None:
        _name_outputs(model)
    if card.decoder == "boxes_nms":
        _append_nms(model, card)
    model.producer_name, model.producer_version = "rtmpose-sdk", __version__
    del model.metadata_props[:]
    for node in model.graph.node:  # the exporter's traces: stack frames with paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.checker.check_model(model)
    return model


def save_onnx(model: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    """Write the graph with its card; nothing half-written is left under the final name.

    Raises:
        OutputError: it cannot be written.
    """
    stamped = onnx.ModelProto()
    stamped.CopyFrom(model)
    name_nodes(stamped.graph.node)
    helper.set_model_props(stamped, {CARD_KEY: card.to_json()})
    write_bytes(path, stamped.SerializeToString())


def replace_card(path: Path, card: ModelCard) -> None:
    """Give an artifact another card; what was verified about it stays in force.

    Raises:
        OutputError: it cannot be written.
    """
    save_onnx(onnx.load(str(path)), card, path)


def _name_outputs(model: onnx.ModelProto) -> None:
    """Plain names for what open sides leave open: the exporter gave them terms such as 21*s8*s3."""
    del model.graph.value_info[:]
    for value, last in zip(model.graph.output, ([4], []), strict=True):
        value.CopyFrom(
            helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["batch", "points", *last])
        )


def _append_nms(model: onnx.ModelProto, card: ModelCard) -> None:
    """Standard NonMaxSuppression behind `boxes` (N,A,4) and `scores` (N,A).

    The outputs become `boxes` (M,4), `scores` (M,) and `batch_index` (M,), of all pictures together.
    """
    graph = model.graph
    rename = {"boxes": "all_boxes", "scores": "all_scores"}
    for node in graph.node:
        for names in (node.input, node.output):
            for i, old in enumerate(names):
                names[i] = rename.get(old, old)
    constants: dict[str, NDArray[Any]] = {
        "nms_axis_class": np.array([1], np.int64),
        "nms_max": np.array([card.max_detections], np.int64),
        "nms_iou": np.array([card.nms_iou_threshold], np.float32),
        "nms_score": np.array([card.score_threshold], np.float32),
        "nms_columns": np.array([0, 2], np.int64),
        "nms_column_batch": np.array(0, np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    make = helper.make_node
    graph.node.extend(
        [
            make("Unsqueeze", ["all_scores", "nms_axis_class"], ["class_scores"]),
            make(
                "NonMaxSuppression",
                ["all_boxes", "class_scores", "nms_max", "nms_iou", "nms_score"],
                ["selected"],
            ),
            make("Gather", ["selected", "nms_columns"], ["selected_rows"], axis=1),
            make("GatherND", ["all_boxes", "selected_rows"], ["boxes"]),
            make("GatherND", ["all_scores", "selected_rows"], ["scores"]),
            make("Gather", ["selected", "nms_column_batch"], ["batch_index"], axis=1),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["detections", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["detections"]),
            helper.make_tensor_value_info("batch_index", TensorProto.INT64, ["detections"]),
        ]
    )


def sized(model: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """The model for pictures of the card's size, where its input leaves them open; in place."""
    start = 1 if card.input_layout == "nhwc" else 2
    open_sides = model.graph.input[0].type.tensor_type.shape.dim[start : start + 2]
    for side, size in zip(open_sides, reversed(card.input_size), strict=True):
        if not side.dim_value:
            side.dim_value = size
    return model


def at_size(model: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """A copy for pictures of the card's size, simplified: what depends on the size is computed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    simplified: onnx.ModelProto = onnxslim.slim(sized(copy, card))
    return simplified


def half_storage(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose big fp32 weights are stored as fp16 behind a Cast, which engines fold on loading."""
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    graph = stored.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALL_TENSOR:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return stored


def full_storage(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the Casts of `half_storage`: int8 looks for weights, not for what a Cast gives."""
    full = onnx.ModelProto()
    full.CopyFrom(model)
    graph = full.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        tensor = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None or tensor.data_type != TensorProto.FLOAT16:
            kept.append(node)
            continue
        values = numpy_helper.to_array(tensor).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    used = {name for node in kept for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    return full
