"""ONNX graph → TensorRT engine file: TensorRT 10, TensorRT 11 and TensorRT for RTX in one code path.

Networks are strongly typed: every precision is in the ONNX graph that is handed over, so that all three
build the same thing. TensorRT 11 knows nothing else; 10 and RTX are told so by a flag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from rtmpose_sdk._version import __version__
from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import DeviceError, EngineError, InputError, MissingExtraError, ModelFileError
from rtmpose_sdk.exporters.onnx import sized
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.runtimes.tensorrt_module import (
    TITLES,
    Flavour,
    installed_flavours,
    load_tensorrt,
    message_logger,
    said,
)

Batch = tuple[int, int, int]
"""Smallest, most usual and largest batch."""
DEFAULT_BATCH: Batch = (1, 1, 8)
SUFFIX = ".engine"
_DEFAULT_TARGETS: dict[Flavour, str] = {
    "tensorrt": "the GPU that it was built on",
    "tensorrt-rtx": "Ampere and later",
}


def parse_batch(text: str) -> Batch:
    """Read a profile: "1:4:16" is 1 to 16 persons at once, best at 4; "8" is always 8.

    Raises:
        InputError: not one or three numbers, or not in order.
    """
    parts = text.split(":")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() for part in parts):
        raise InputError(
            f"batch '{text}' is not MIN:OPT:MAX; expected three numbers such as 1:4:16, or one"
        )
    numbers = [int(part) for part in parts]
    return _checked_batch((numbers[0], numbers[len(numbers) // 2], numbers[-1]))


def check_profile(batch: Batch, card: ModelCard) -> None:
    """Refuse a profile that the SDK cannot use: a detector gets one picture at a time.

    Raises:
        InputError: a detector's that does not begin at 1.
    """
    if card.task == "detect" and batch[0] != 1:
        raise InputError(
            f"batch {':'.join(map(str, batch))}: {card.name} is a detector, which gets one picture at a "
            "time; expected a profile that begins at 1, such as 1 or 1:1:4"
        )


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
    batch = _checked_batch(batch)
    check_profile(batch, card)
    if card.decoder == "boxes_nms":
        raise InputError(
            f"{card.name}: TensorRT engines are built without NMS in the graph (TensorRT for RTX has no "
            "kernel for it, and outputs of unknown size keep CUDA graphs out); leave out --nms: the SDK "
            "does NMS behind the engine"
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
    engine = _Build(trt, flavour, model, name).run(batch, capabilities, timing_cache)
    note = f"Engine: {name}."
    done = replace(done, notes=f"{done.notes} {note}".strip())
    write_bytes(card_beside(path), done.to_json().encode())
    write_bytes(path, engine)


def _checked_batch(batch: Batch) -> Batch:
    smallest, usual, largest = batch
    if not 1 <= smallest <= usual <= largest:
        raise InputError(
            f"batch {smallest}:{usual}:{largest} is not in order; expected 1 <= MIN <= OPT <= MAX"
        )
    return batch


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


class _Build:
    """One engine's making; holds the objects that must outlive the build."""

    def __init__(self, trt: Any, flavour: Flavour, model: onnx.ModelProto, name: str) -> None:
        self.trt, self.flavour, self.model = trt, flavour, model
        self.title = f"{TITLES[flavour]} {trt.__version__}"
        self.logger, self.errors = message_logger(trt)
        try:
            self.builder = trt.Builder(self.logger)
        except TypeError:  # how pybind reports a null pointer
            raise DeviceError(
                f"{self.title} cannot start: {said(self.errors)}. It builds on the GPU that the engine is "
                "for; TensorRT for RTX builds without one (--target sm86)"
            ) from None
        strong = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        self.network = self.builder.create_network(0 if strong is None else 1 << int(strong))
        self.network.name = name
        self.config = self.builder.create_builder_config()
        # fp32 nodes are meant as fp32: TF32 has fp16's eleven bits.
        self.config.clear_flag(trt.BuilderFlag.TF32)

    def run(self, batch: Batch, capabilities: dict[str, Any], timing_cache: Path | None) -> bytes:
        """The serialised engine."""
        self._parse()
        self._set_profile(batch)
        self._set_targets(capabilities)
        cache = self._open_cache(timing_cache)
        plan = self.builder.build_serialized_network(self.network, self.config)
        if plan is None:
            why = said(self.errors)
            hint = (
                f". {', '.join(capabilities)}: no fp32 matrix products there, export in fp16"
                if "GEMM is not supported" in why
                else ""
            )
            raise EngineError(f"{self.title} cannot build this network: {why}{hint}")
        if timing_cache is not None and cache is not None:
            write_bytes(timing_cache, bytes(self.config.get_timing_cache().serialize()))
        return bytes(plan)

    def _parse(self) -> None:
        parser = self.trt.OnnxParser(self.network, self.logger)
        if parser.parse(self.model.SerializeToString()):
            return
        problems = list(_parser_errors(parser)) or [said(self.errors)]
        raise EngineError(f"{self.title} does not take the graph: {'; '.join(problems)}")

    def _set_profile(self, batch: Batch) -> None:
        tensor = self.network.get_input(0)
        fixed, *sizes = tuple(tensor.shape)
        if fixed >= 0:
            if set(batch) != {fixed}:
                raise InputError(f"the graph has a fixed batch of {fixed}; expected --batch {fixed}")
            return
        profile = self.builder.create_optimization_profile()
        try:
            profile.set_shape(tensor.name, *((size, *sizes) for size in batch))
            refused = self.config.add_optimization_profile(profile) < 0
        except RuntimeError:  # how pybind reports what set_shape refuses
            refused = True
        if refused:
            raise EngineError(
                f"{self.title} refuses the profile {':'.join(map(str, batch))}: {said(self.errors)}"
            )

    def _set_targets(self, capabilities: dict[str, Any]) -> None:
        if capabilities:
            self.config.num_compute_capabilities = len(capabilities)
        for i, (target, value) in enumerate(capabilities.items()):
            if not self.config.set_compute_capability(value, i):
                raise EngineError(f"{self.title} refuses target '{target}': {said(self.errors)}")

    def _open_cache(self, file: Path | None) -> Any:
        if file is None:
            return None
        cache = self.config.create_timing_cache(file.read_bytes() if file.is_file() else b"")
        if cache is None or not self.config.set_timing_cache(cache, False):
            raise ModelFileError(
                f"{file}: not a timing cache of {self.title} on this GPU ({said(self.errors)}); delete it, "
                "and a new one is written"
            )
        return cache


def _parser_errors(parser: Any) -> Iterator[str]:
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        where = " ".join(filter(None, (error.node_operator(), f"'{error.node_name()}'")))
        lines = [line for line in error.desc().splitlines() if "cudaError" not in line]
        yield f"{where}: {' '.join(' '.join(lines).split())[:400]}"
