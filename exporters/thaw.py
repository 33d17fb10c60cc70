"""Which weights does an ONNX artifact hold? Back from a file of ours to a PyTorch network.

An export folds every batch normalisation into the convolution before it, turns the first one's colours,
and renames what is transposed. Names lead back to the convolutions, shapes and the order of the graph to
the head; whether the network that comes out is the artifact is not believed but measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.shifts import Outputs
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CardError, CheckpointError, InputError
from rtmpose_sdk.exporters.verify import runtime_reference, torch_reference
from rtmpose_sdk.models import FIRST_WEIGHT, DetectModel, PoseModel, build_model
from rtmpose_sdk.runtimes import open_runtime

_HALF = ".half"
"""End of the name of what is stored as fp16."""
_FOLDED_BIASES = (".conv.bias", ".conv.weight_bias")
"""Of our exports now, and of those before that left it to onnxslim."""
_DECODERS = ("simcc", "boxes")
_SAME = 1e-4
"""Largest difference of an output, in parts of its largest value."""
_NORM = ".bn."


def network_from_artifact(file: Path, card: ModelCard | None = None) -> PoseModel | DetectModel:
    """The network of an fp32 ONNX file that `rtmpose-export` or `rtmpose train` wrote, ready for inference.

    Its batch normalisations do nothing but add a bias: `settle` gives them statistics to train with.

    Args:
        file: the ONNX file.
        card: its card; None reads it from the file.

    Raises:
        CheckpointError: not such a file: another network, precision or program.
    """
    card = card or artifact_card(file)
    if file.suffix.lower() != ".onnx" or card.precision != "fp32" or card.decoder not in _DECODERS:
        raise CheckpointError(
            f"{file}: {card.precision} {file.suffix} with decoder {card.decoder}; expected an fp32 ONNX "
            f"file of rtmpose-export, decoder {' or '.join(_DECODERS)}"
        )
    try:
        network = _empty(card)
    except (InputError, CardError) as error:
        raise CheckpointError(f"{file}: holds '{card.name}', which cannot be built: {error}") from None
    graph = onnx.load(str(file)).graph
    state = _state(graph, network)
    missing = sorted(set(network.state_dict()) - set(state))
    if missing:
        raise CheckpointError(
            f"{file}: lacks {len(missing)} tensors of {card.name} ({', '.join(missing[:3])}, ...); "
            "expected a file of rtmpose-export, of the standard network. Give the checkpoint (.pth)"
        )
    width, height = card.input_size
    probe = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    with open_runtime(file, threads=1) as runtime:
        wanted = runtime_reference(runtime, card)(probe)
    network.eval()
    # Files of pictures have BGR's weights; those of tensors, and older ones, have the network's own.
    for colours in (state[FIRST_WEIGHT], state[FIRST_WEIGHT].flip(1)):
        network.load_state_dict({**state, FIRST_WEIGHT: colours})
        other = _first_difference(wanted, torch_reference(network, card)(probe))
        if other is None:
            return network
    raise CheckpointError(
        f"{file}: its weights were found, but the network that they make gives another {other}; "
        "give the checkpoint (.pth)"
    )


def _first_difference(wanted: Iterable[Outputs], found: Iterable[Outputs]) -> str | None:
    """Name of the first output that is not the same."""
    for want, have in zip(wanted, found, strict=True):
        for name, values in want.items():
            if np.abs(have[name] - values).max() > _SAME * np.abs(values).max():
                return name
    return None


def _empty(card: ModelCard) -> PoseModel | DetectModel:
    if card.name.startswith("rtmdet"):
        return build_model(card.name, input_size=card.input_size)
    return build_model(
        card.name,
        keypoint_set=len(card.keypoints()),
        input_size=card.input_size,
        split_ratio=card.simcc_split_ratio,
    )


def _state(graph: onnx.GraphProto, network: nn.Module) -> dict[str, Tensor]:
    """What can be found of a network's state."""
    tensors = {
        value.name.removesuffix(_HALF): torch.from_numpy(numpy_helper.to_array(value).astype(np.float32))
        for value in graph.initializer
    }
    own = network.state_dict()
    state: dict[str, Tensor] = {}
    ends: dict[str, str] = {}
    for name in tensors:
        parts = name.split(".")
        for i in range(len(parts)):
            ends.setdefault(".".join(parts[i:]), name)
    for name, value in own.items():
        found = ends.get(name)
        if found is not None and tensors[found].shape == value.shape:
            state[name] = tensors[found]
        elif _NORM in name:
            block = name[: name.rindex(_NORM)]
            bias = next((tensors[ends[block + end]] for end in _FOLDED_BIASES if block + end in ends), None)
            if bias is not None:
                module, part = name.rsplit(".", 1)
                state[name] = _pass_through(part, bias, value, network.get_submodule(module))
    if isinstance(network, PoseModel):
        state |= _head(graph, tensors, own, state)
    return state


def _pass_through(part: str, bias: Tensor, value: Tensor, norm: nn.Module) -> Tensor:
    """A part of a batch normalisation that does nothing but add a bias."""
    assert isinstance(norm, nn.BatchNorm2d)
    made = {
        "weight": torch.ones_like(bias),
        "bias": bias,
        "running_mean": torch.zeros_like(bias),
        "running_var": torch.full_like(bias, 1 - norm.eps),
    }
    return made.get(part, value)


def _head(
    graph: onnx.GraphProto, tensors: dict[str, Tensor], own: dict[str, Tensor], found: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The head's linear layers, which are stored transposed, and the attention's gains and offsets."""
    state: dict[str, Tensor] = {}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in tensors]
    by_output = {node.output[0]: node.input[1] for node in products}
    used = {by_output[name] for name in ("simcc_x", "simcc_y") if name in by_output}
    for name in ("cls_x", "cls_y"):
        source = by_output.get(f"simcc_{name[-1]}")
        if source is not None:
            state[f"head.{name}.weight"] = tensors[source].T.contiguous()
    for name in ("head.mlp.1.weight", "head.gau.uv.weight", "head.gau.o.weight"):
        fitting = [
            node.input[1]
            for node in products
            if node.input[1] not in used
            and name in own
            and tensors[node.input[1]].T.shape == own[name].shape
        ]
        if name not in found and len(set(fitting)) == 1:
            state[name] = tensors[fitting[0]].T.contiguous()
    gains = "head.gau.gamma"
    if gains in own and gains not in found:
        size = own[gains].shape[1:]
        for name, kind in ((gains, "Mul"), ("head.gau.beta", "Add")):
            rows = [tensors[row] for row in _constants(graph, kind, tensors) if tensors[row].shape == size]
            if len(rows) == own[name].shape[0]:
                state[name] = torch.stack(rows)
    return state


def _constants(graph: onnx.GraphProto, kind: str, tensors: Iterable[str]) -> list[str]:
    """Names of the initializers that nodes of a kind read, in the graph's order."""
    known = set(tensors)
    return [name for node in graph.node if node.op_type == kind for name in node.input if name in known]
