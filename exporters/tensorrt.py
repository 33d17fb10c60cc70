"""ONNX graph → TensorRT engine file: TensorRT 10, TensorRT 11 and TensorRT for RTX in one code path.

Networks are strongly typed: every precision is in the ONNX graph that is handed over, so that all three
build the same thing. TensorRT 11 knows nothing else; 10 and RTX are told so by a flag.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from rtmpose_sdk._version import __version__
from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.exporters.batch_profile import DEFAULT_BATCH, Batch, check_profile, checked_batch
from rtmpose_sdk.exporters.onnx import sized
from rtmpose_sdk.exporters.tensorrt_build import Build
from rtmpose_sdk.exporters.verify import KEPT_BOXES
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.runtimes.tensorrt_module import (
    TITLES,
    Flavour,
    installed_flavours,
    load_tensorrt,
)

SUFFIX = ".engine"
_DEFAULT_TARGETS: dict[Flavour, str] = {
    "tensorrt": "the GPU that it was built on",
    "tensorrt-rtx": "Ampere and later",
}


def builder_graph(graph: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """Exactly the graph that is handed to the builder: what can be verified where the engine cannot run.

    On ONNX Runtime's CPU verify `emulate_half` of it: that runs fp16 nodes in fp32 and hides overflow.

    Args:
        graph: of `build_onnx` for a full letterbox, with its precision in it: see `half_graph`, and
            `Int8Quantizer` for QDQ nodes.
        card: of the model.
    """
    return sized(_float_first(graph), card)


def write_tensorrt(
    graph: onnx.ModelProto,
    card: ModelCard,
    path: Path,
    *,
    batch: Batch = DEFAULT_BATCH,
    targets: tuple[str, ...] = (),
    timing_cache: Path | None = None,
    flavour: Flavour | None = None,
) -> None:
    """Build an engine and write it, its card beside it; nothing half-written is left.

    Args:
        graph: see `builder_graph`.
        card: of the graph, with its precision; its letterbox becomes full.
        path: the `.engine` file.
        batch: (smallest, most usual, largest) number of crops at once.
        targets: compute capabilities to build for, with no GPU at hand ("sm75", "sm86"); only TensorRT for
            RTX can. None of them: RTX builds for Ampere and later, TensorRT for the GPU of this machine.
        timing_cache: file of measured kernel times, read where it exists and written; only TensorRT.
        flavour: which engine; None is the one that the other arguments or the installation leave over.

    Raises:
        InputError: a profile that is not ordered or, of a detector, does not begin at 1, a target or option
            that the engine does not have, a detector with NMS in the graph, or both engines installed and
            nothing said.
        MissingExtraError: the engine is not installed.
        DeviceError: TensorRT without a GPU.
        EngineError: an operator that it does not know, or a build that failed.
        ModelFileError: the timing cache is of another engine, or damaged.
        OutputError: the file cannot be written.
    """
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: a TensorRT engine is written to a file that ends in {SUFFIX}")
    batch = checked_batch(batch)
    check_profile(batch, card)
    if card.decoder in KEPT_BOXES:
        raise InputError(
            f"{card.name}: TensorRT engines are built without NMS in the graph (TensorRT for RTX has no "
            "kernel for it, and outputs of unknown size keep CUDA graphs out); export the checkpoint "
            "(.pth) without --nms: the SDK does NMS behind the engine"
        )
    flavour = flavour or _flavour(targets, timing_cache)
    _check_options(flavour, targets, timing_cache)
    trt = load_tensorrt(flavour, f"Building a {TITLES[flavour]} engine")
    capabilities = _capabilities(trt, targets)
    model = builder_graph(graph, card)
    done = replace(card, letterbox="full")
    name = (
        f"{card.name} {done.precision} batch {':'.join(map(str, batch))} for "
        f"{' '.join(targets) or _DEFAULT_TARGETS[flavour]}, {TITLES[flavour]} {trt.__version__}, "
        f"rtmpose-sdk {__version__}"
    )
    engine = Build(trt, flavour, model, name).run(batch, capabilities, timing_cache)
    note = f"Engine: {name}."
    done = replace(done, notes=f"{done.notes} {note}".strip())
    write_bytes(card_beside(path), done.to_json().encode())
    write_bytes(path, engine)


def _flavour(targets: tuple[str, ...], timing_cache: Path | None) -> Flavour:
    """The engine that is meant where none is named."""
    if targets:
        return "tensorrt-rtx"
    if timing_cache is not None:
        return "tensorrt"
    installed = installed_flavours()
    if not installed:
        raise MissingExtraError(
            "tensorrt",
            "tensorrt",
            "Building an engine for the GPU of this machine (or 'tensorrt-rtx': any GPU)",
        )
    if len(installed) > 1:
        raise InputError(
            "TensorRT and TensorRT for RTX are both installed, and their engines are not exchangeable; say "
            "which is meant: --flavour tensorrt or tensorrt-rtx, or --target (only the latter has them)"
        )
    return installed[0]


def _check_options(flavour: Flavour, targets: tuple[str, ...], timing_cache: Path | None) -> None:
    if flavour == "tensorrt" and targets:
        raise InputError(
            f"targets {', '.join(targets)}: TensorRT builds for the GPU of this machine only; building for "
            "others is what TensorRT for RTX does (pip install 'rtmpose-sdk[tensorrt-rtx]')"
        )
    if flavour == "tensorrt-rtx" and timing_cache is not None:
        raise InputError(
            f"timing cache {timing_cache}: TensorRT for RTX times nothing while it builds (kernels are "
            "compiled where they run); leave the option out"
        )


def _capabilities(trt: Any, targets: tuple[str, ...]) -> dict[str, Any]:
    """The engine's own values for the targets."""
    if not targets:
        return {}
    known = {n.lower(): v for n, v in trt.ComputeCapability.__members__.items() if n.startswith("SM")}
    for target in targets:
        if target.lower() not in known:
            raise InputError(
                f"target '{target}' is not one of {', '.join(known)}, which TensorRT for RTX "
                f"{trt.__version__} builds for (sm75 is compute capability 7.5: GTX 16 and RTX 20)"
            )
    return {target.lower(): known[target.lower()] for target in targets}


def _float_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """A uint8 input is cast before it is transposed: TensorRT takes uint8 only as the input of a cast."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes = result.graph.node
    images = {v.name for v in result.graph.input if v.type.tensor_type.elem_type == TensorProto.UINT8}
    for i, transpose in enumerate(nodes):
        if transpose.op_type != "Transpose" or transpose.input[0] not in images:
            continue
        users = [j for j, node in enumerate(nodes) if transpose.output[0] in node.input]
        if len(users) == 1 and nodes[users[0]].op_type == "Cast":
            _swap(nodes[i], nodes[users[0]])
            del result.graph.value_info[:]  # the type in between is another one
    return result


def _swap(transpose: onnx.NodeProto, cast: onnx.NodeProto) -> None:
    """X → transpose → cast becomes x → cast → transpose, in the same two places."""
    names = transpose.input[0], transpose.output[0], cast.output[0]
    first, second = onnx.NodeProto(), onnx.NodeProto()
    first.CopyFrom(cast)
    second.CopyFrom(transpose)
    for node, source, result in ((first, *names[:2]), (second, *names[1:])):
        node.input[0], node.output[0] = source, result
    transpose.CopyFrom(first)
    cast.CopyFrom(second)
