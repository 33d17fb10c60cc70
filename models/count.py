"""How many parameters and multiply-adds has a network?"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rtmpose_sdk.models.build import DetectModel, PoseModel

_NORM_OPERATIONS = 2
"""A batch norm scales and shifts; the paper's counter counts both."""


class Count(NamedTuple):
    """Number of parameters, and of multiply-adds for one input (the paper's Params and FLOPs)."""

    parameters: int
    multiply_adds: int


def count(model: PoseModel | DetectModel) -> Count:
    """Count one input of the model's size, as the paper's tables do.

    Convolutions, linear layers and matrix products by their multiply-adds, batch norms with two
    operations a value. Shared tensors count once; buffers do not count.
    """
    width, height = model.input_size
    normalised = 0

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal normalised
        normalised += output.numel()

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    training = model.training
    device = next(model.parameters()).device
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, 3, height, width, device=device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    products = counter.get_total_flops() // 2
    parameters = sum(p.numel() for p in model.parameters())
    return Count(parameters, products + _NORM_OPERATIONS * normalised)
