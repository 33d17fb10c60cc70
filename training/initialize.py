"""What are a network's weights before training: random ones, and what fits from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtmpose_sdk.errors import CheckpointError
from rtmpose_sdk.exporters.thaw import network_from_artifact
from rtmpose_sdk.models import read_checkpoint
from rtmpose_sdk.models.gau import GAU
from rtmpose_sdk.models.rtmdet_head import RTMDetSepBNHead

ARTIFACT = ".onnx"
PRIOR = 0.01
"""Score of every grid point before training: most of them show nobody (focal loss, Lin et al. 2017)."""
FIRST_DISTANCE = 2.0
"""Distance to each side of a box before training, in strides: boxes that overlap something."""
_CLASSIFIERS = ("cls_x", "cls_y")
_CLASSIFIER_STD = 0.01
"""Bins begin nearly equal; the loss multiplies them by 10."""
_SHOWN = 6
_LEAST_PART = 0.5
"""Of a backbone; two sizes of one family share some shapes by chance."""


@dataclass(frozen=True)
class Loaded:
    """What came out of a checkpoint: names of tensors."""

    loaded: tuple[str, ...]
    other_shape: tuple[str, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded"]
        for what, names in (
            ("of another shape, left random", self.other_shape),
            ("not in the file, left random", self.missing),
            ("not in the network, left out", self.surplus),
        ):
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                lines.append(f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}")
        return "; ".join(lines)


def channels_last(network: nn.Module) -> None:
    """Lay weights out as convolutions like them best: channels side by side."""
    untyped: Any = network  # torch's annotations leave this argument out
    untyped.to(memory_format=torch.channels_last)


def initialize(network: nn.Module, seed: int) -> None:
    """Random weights: bins begin nearly equal, a detector with low scores and small boxes."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            classifies = name.rsplit(".", 1)[-1] in _CLASSIFIERS
            std = _CLASSIFIER_STD if classifies else (3 * module.in_features) ** -0.5
            nn.init.normal_(module.weight, std=std, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, GAU):
            nn.init.uniform_(module.gamma, generator=generator)
            nn.init.uniform_(module.beta, generator=generator)
        if isinstance(module, RTMDetSepBNHead):
            for logits, distances in zip(module.rtm_cls, module.rtm_reg, strict=True):
                for layer, bias in (
                    (logits, -math.log((1 - PRIOR) / PRIOR)),
                    (distances, math.log(FIRST_DISTANCE) if module.exp_on_reg else FIRST_DISTANCE),
                ):
                    assert isinstance(layer, nn.Conv2d)
                    assert layer.bias is not None
                    nn.init.normal_(layer.weight, std=0.01, generator=generator)
                    nn.init.constant_(layer.bias, bias)


def load_what_fits(network: nn.Module, file: Path, backbone_only: bool = False) -> Loaded:
    """Load the tensors of a checkpoint that have a namesake of the same shape in the network.

    Args:
        network: what is loaded into.
        file: a checkpoint, see `read_checkpoint`; or an ONNX file, see `network_from_artifact`, whose
            normalisations have to `settle` before training.
        backbone_only: leave the head as it is (after heatmap pre-training).

    Raises:
        CheckpointError: unreadable, unsafe, or most of the backbone is not in it.
    """
    fitting, result = what_fits(network, file, backbone_only)
    network.load_state_dict(fitting, strict=False)
    return result


def what_fits(
    network: nn.Module, file: Path, backbone_only: bool = False
) -> tuple[dict[str, Tensor], Loaded]:
    """What `load_what_fits` loads, and what it says; the network may be without memory ("meta")."""
    own: Mapping[str, Tensor] = network.state_dict()
    exported = file.suffix.lower() == ARTIFACT
    state = network_from_artifact(file).state_dict() if exported else read_checkpoint(file)
    if backbone_only:
        state = {name: value for name, value in state.items() if name.startswith("backbone.")}
    fitting = {n: v for n, v in state.items() if n in own and v.shape == own[n].shape}
    result = Loaded(
        tuple(fitting),
        tuple(n for n in state if n in own and n not in fitting),
        tuple(n for n in own if n not in state and not n.endswith("num_batches_tracked")),
        tuple(n for n in state if n not in own),
    )
    backbone = [name for name in own if name.startswith("backbone.")]
    found = sum(name in fitting for name in backbone)
    if found < _LEAST_PART * len(backbone):
        raise CheckpointError(
            f"{file}: does not fit {getattr(network, 'name', 'the network')}: {found} of {len(backbone)} "
            f"tensors of its backbone have the right name and shape ({result}). Give --model as it was "
            "trained, or leave out --init"
        )
    return fitting, result
