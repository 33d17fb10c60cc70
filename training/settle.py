"""Statistics of batch normalisations for a network that is to be trained on, without changing its answers.

An exported network has none: its normalisations were fused away (see `rtmpose_sdk.exporters.thaw`). In
training they divide by what a batch shows, so gains and offsets that belong to that have to be there first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rtmpose_sdk.training.loop import Task

BATCHES = 8
"""Batches that are looked at."""


@torch.no_grad()
def settle(task: Task, device: torch.device, batches: int = BATCHES) -> None:
    """Take mean and variance of every normalisation's input from the data, and make up for it.

    Args:
        task: its network, changed in place; its first batches.
        device: where the network is.
        batches: how many.
    """
    network = task.network
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    sums: dict[nn.BatchNorm2d, Tensor] = {}
    modes = {module: module.training for module in network.modules()}
    network.train()
    for norm in norms:
        norm.eval()  # the answers are those of before while we look
    hooks = [norm.register_forward_pre_hook(_adding(sums)) for norm in norms]
    try:
        for step in range(batches):
            task.losses(network, task.batch(step, 0, 1), device)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        _restate(norm, mean.float(), (squares / count - mean**2).clamp(min=0).float())


def _adding(sums: dict[nn.BatchNorm2d, Tensor]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """A hook that adds up a normalisation's inputs: rows of sums (C,), sums of squares, and counts."""

    def add(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0].double()
        total = values.sum((0, 2, 3))
        count = torch.full_like(total, values.numel() / len(total))
        seen = torch.stack([total, (values**2).sum((0, 2, 3)), count])
        sums[norm] = sums[norm] + seen if norm in sums else seen

    return add


def _restate(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Other statistics, the same function."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    slope = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_((mean - norm.running_mean) * slope)
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
