"""How many parameters and multiply-adds has a network?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from rtmpose_sdk.models.build import DetectModel, PoseModel


class Count(NamedTuple):
    """Number of parameters, and of multiply-adds for one input (the paper's Params and FLOPs)."""

    parameters: int
    multiply_adds: int


def count(model: PoseModel | DetectModel) -> Count:
    """Count one input of the model's size. Shared tensors count once; buffers do not count."""
    width, height = model.input_size
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, height, width, device=device))
    model.train(training)
    return Count(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)
