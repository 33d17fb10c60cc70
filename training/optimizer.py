"""AdamW or Muon, the learning rate over time, and the averaged weights (paper section 3.4 and 4.1)."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import nn

from rtmpose_sdk.training.muon import Muon, is_matrix

OptimizerName = Literal["adamw", "muon"]
BASE_RATE = 4e-3
BASE_BATCHES = {"pose": 1024, "detector": 256}
"""Batches that the base rate is meant for: section 4.1; RTMDet's published training."""
WARMUP_STEPS = 1000
WARMUP_START = 1e-5
"""Part of the rate that the linear warm-up begins with."""
FINAL_RATE = 0.05
"""Part of the rate that the cosine ends with."""
FLAT_PART = 0.5
"""Part of the steps before the cosine begins."""
EMA_DECAY = 0.9998
EMA_WARMUP = 9
"""After t steps the average spans at most about t / 9 of them."""


def default_rate(task: Literal["pose", "detector"], batch: int) -> float:
    """Learning rate of a batch, in proportion to the published one of a task."""
    return BASE_RATE * batch / BASE_BATCHES[task]


def rate_at(step: int, steps: int, rate: float, warmup: int = WARMUP_STEPS) -> float:
    """Learning rate of one step: linear warm-up, flat, then half a cosine down to 5 %.

    Args:
        step: 0...steps-1.
        steps: of the whole run.
        rate: the flat rate.
        warmup: steps of the warm-up.
    """
    if step < warmup:
        return rate * (WARMUP_START + (1 - WARMUP_START) * step / warmup)
    begin = max(int(steps * FLAT_PART), warmup)
    if step < begin:
        return rate
    progress = (step - begin) / max(steps - begin, 1)
    return rate * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


def build_optimizer(
    network: nn.Module,
    rate: float,
    weight_decay: float,
    name: OptimizerName = "adamw",
    fused: bool = True,
    dtype: torch.dtype = torch.float32,
) -> torch.optim.AdamW:
    """AdamW (the paper's) or Muon, without decay on normalisation layers and biases.

    Args:
        network: what is trained; frozen parameters are left out.
        rate: learning rate.
        weight_decay: of all matrices and kernels.
        name: which.
        fused: AdamW's faster code.
        dtype: that Muon multiplies in.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    norms = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    for module in network.modules():
        for key, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            plain = isinstance(module, norms) or key == "bias" or parameter.ndim < 2
            (free if plain else decayed).append(parameter)
    unique = list(dict.fromkeys(decayed))
    groups = [{"params": unique, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    groups[0]["params"] = [p for p in unique if not is_matrix(p)]
    matrices = [p for p in unique if is_matrix(p)]
    groups.append({"params": matrices, "weight_decay": weight_decay, "muon": True})
    return Muon(groups, rate, dtype, fused)


class Ema:
    """A moving average of all weights and running statistics.

    Args:
        network: what is averaged.
        decay: of one step, in the long run; the first steps forget faster, so that the average is not
            the random start. 0 is no average.
    """

    def __init__(self, network: nn.Module, decay: float = EMA_DECAY) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step of the network in."""
        self.steps += 1
        keep = min(self.decay, self.steps / (self.steps + EMA_WARMUP))
        own = self.network.state_dict()
        floats = []
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                floats.append((own[name], value))
            else:
                own[name].copy_(value)
        targets, values = zip(*floats, strict=True)
        torch._foreach_lerp_(targets, values, 1 - keep)
