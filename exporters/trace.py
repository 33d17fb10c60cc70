"""PyTorch model → ONNX graph of plain operators, with every size open that is to be."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import torch
from onnx import compose
from torch import nn
from torch.export import Dim

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.graph import BoxDecode, example_input, output_names, taking_input
from rtmpose_sdk.exporters.operator_set import OPSET

_OF_ONE_SIZE = {"Expand", "Reshape", "Shape", "Slice", "Tile"}
"""Operators that may hold the size of the traced picture."""


def traced(network: nn.Module, card: ModelCard) -> onnx.ModelProto:
    """The graph of a network with what the card says belongs around it, but for NMS; not simplified.

    Args:
        network: the PyTorch model, with its weights.
        card: says what goes in, which decode is in the graph, and whether the picture's sides are open.
    """
    return (_detector if card.task == "detect" else _pose)(network, card)


def _pose(network: nn.Module, card: ModelCard) -> onnx.ModelProto:
    names = [_input_name(card)], output_names(card)
    return _exported(taking_input(network, card), example_input(card), *names, {0: Dim("batch", min=1)})


def _detector(network: nn.Module, card: ModelCard) -> onnx.ModelProto:
    """Convolutions and decode apart: the decode alone depends on how large a picture is.

    Tracing open sizes takes three times as long, and the convolutions are nearly all of a network.
    """
    body, example = taking_input(network, card), example_input(card)
    with torch.no_grad():
        levels = list(body(example))
    names = [f"level_{i}" for i in range(len(levels))]
    convolutions = _exported(body, example, [_input_name(card)], names, None)
    found = _OF_ONE_SIZE & {node.op_type for node in convolutions.graph.node}
    assert not found, f"{found} may hold the size of the traced picture"
    del convolutions.graph.value_info[:]
    step = card.letterbox_step
    first = 1 if card.takes_image else 2
    opened = {0: "batch"} if step is None else {0: "batch", first: "height", first + 1: "width"}
    for place, name in opened.items():
        convolutions.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    for level in convolutions.graph.output:
        for place in (0, 2, 3) if step is not None else (0,):
            level.type.tensor_type.shape.dim[place].Clear()
    sizes = [dict[int, Any]({0: Dim("batch", min=1)}) for _ in levels]
    if step is not None:
        rows, columns = Dim("rows", min=1), Dim("columns", min=1)
        for size, stride in zip(sizes, card.strides * 2, strict=True):  # scores, then distances
            size.update({2: step // stride * rows, 3: step // stride * columns})
    boxes = _exported(BoxDecode(card), levels, names, output_names(card), sizes)
    boxes = compose.add_prefix(boxes, "decode_", rename_outputs=False)
    whole = compose.merge_models(
        convolutions, boxes, [(name, f"decode_{name}") for name in names], name=convolutions.graph.name
    )
    del whole.opset_import[1:]
    return whole


def _input_name(card: ModelCard) -> str:
    return "image" if card.takes_image else "input"


def _exported(
    module: nn.Module, example: Any, inputs: Sequence[str], outputs: Sequence[str], sizes: Any
) -> onnx.ModelProto:
    """The graph of a module of one argument; sizes: what is open of it, as `torch.export` has it."""
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=None if sizes is None else (sizes,),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter prints progress and warns about its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
