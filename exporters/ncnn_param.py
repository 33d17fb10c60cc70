"""ncnn's graph, the `.param` file: reading it, naming what it takes and gives, keeping its end exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace

from rtmpose_sdk.errors import InputError

_MAGIC = "7767517"
_FEATURE_MASK = "31"
_FLOAT_SUMS = 1
_ON_PROCESSOR = 16
"""ncnn's feature mask: no fp16 arithmetic in this layer; no Vulkan."""
_GEMM_OUTPUT_TYPE = "13"
_FLOAT_OUTPUT = "1"
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "Deconvolution")


@dataclass(frozen=True)
class NcnnLayer:
    """A line of a `.param`: kind, name, blobs, and parameters by key."""

    kind: str
    name: str
    _: KW_ONLY
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, str]

    def number(self, key: int, default: int = 0) -> int:
        """An integer parameter."""
        return int(self.parameters.get(str(key), default))

    def with_parameters(self, changes: dict[str, str]) -> NcnnLayer:
        """The same layer with other parameters."""
        return replace(self, parameters={**self.parameters, **changes})

    def __str__(self) -> str:
        counts = f"{len(self.inputs)} {len(self.outputs)}"
        pairs = (f"{key}={value}" for key, value in self.parameters.items())
        return " ".join((f"{self.kind:<24} {self.name:<24} {counts}", *self.inputs, *self.outputs, *pairs))


def parse_param(text: str) -> list[NcnnLayer]:
    """The layers of a `.param`, in the order in which they run."""
    layers = []
    for line in text.splitlines()[2:]:
        kind, name, inputs, outputs, *rest = line.split()
        first, last = int(inputs), int(inputs) + int(outputs)
        pairs = (pair.split("=", 1) for pair in rest[last:])
        parameters = {key: value for key, value in pairs if not key.startswith("#")}
        layers.append(
            NcnnLayer(
                kind,
                name,
                inputs=tuple(rest[:first]),
                outputs=tuple(rest[first:last]),
                parameters=parameters,
            )
        )
    return layers


def format_param(layers: Sequence[NcnnLayer]) -> str:
    """The text of a `.param`."""
    blobs = sum(len(layer.outputs) for layer in layers)
    return "\n".join((_MAGIC, f"{len(layers)} {blobs}", *map(str, layers))) + "\n"


def check_converted(layers: Sequence[NcnnLayer]) -> None:
    """What pnnx cannot convert, it hands on under PyTorch's name (aten::..., F...., pnnx....).

    Raises:
        InputError: names those operators.
    """
    left = sorted({layer.kind for layer in layers if not layer.kind.isidentifier()})
    if left:
        raise InputError(
            f"the network has operators that ncnn does not have: {', '.join(left)}; replace them in the "
            "model, or export for another engine"
        )


def with_interface(
    layers: Sequence[NcnnLayer], size: tuple[int, int], names: Sequence[str]
) -> list[NcnnLayer]:
    """The graph with its input's size (width, height) px in it, and outputs with names of ours.

    pnnx calls them in0, out0, out1, ...
    """
    new = {"in0": "input"} | {f"out{i}": name for i, name in enumerate(names)}

    def named(blobs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new.get(blob, blob) for blob in blobs)

    renamed = [replace(layer, inputs=named(layer.inputs), outputs=named(layer.outputs)) for layer in layers]
    shape = {"0": str(size[0]), "1": str(size[1]), "2": "3"}
    return [layer.with_parameters(shape) if layer.kind == "Input" else layer for layer in renamed]


def with_safe_end(layers: Sequence[NcnnLayer]) -> list[NcnnLayer]:
    """The graph with its end kept as exact as ncnn can: from the last convolution of every path on.

    That is the whole head of RTMPose and RTMW, and the boxes of RTMDet: 7 % of RTMPose-t's
    multiply-adds. Sums are in fp32, always; on a GPU, what follows the convolution runs on the processor
    (small layers, each a dispatch of its own); and the products that give the outputs give fp32.
    What is handed from layer to layer may still be fp16 or bf16: ncnn's masks against that (2 and 4)
    make it read fp16 as fp32, beyond the end of the memory (seen in 1.0.20261020).
    """
    feeds: dict[str, int] = {blob: i for i, layer in enumerate(layers) for blob in layer.inputs}
    leads_to_convolution: set[int] = set()
    for i in reversed(range(len(layers))):
        following = [feeds[blob] for blob in layers[i].outputs if blob in feeds]
        if any(j in leads_to_convolution or layers[j].kind in CONVOLUTIONS for j in following):
            leads_to_convolution.add(i)

    def safe(i: int, layer: NcnnLayer) -> NcnnLayer:
        if i in leads_to_convolution or layer.kind == "Input":
            return layer
        mask = _FLOAT_SUMS if layer.kind in CONVOLUTIONS else _FLOAT_SUMS | _ON_PROCESSOR
        changes = {_FEATURE_MASK: str(mask)}
        if layer.kind == "Gemm" and not any(blob in feeds for blob in layer.outputs):
            changes[_GEMM_OUTPUT_TYPE] = _FLOAT_OUTPUT
        return layer.with_parameters(changes)

    return [safe(i, layer) for i, layer in enumerate(layers)]
