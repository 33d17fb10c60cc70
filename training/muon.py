"""Muon: steps of weight matrices are made orthogonal, so that no direction of a matrix is left behind.

K. Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; steps as large as AdamW's
(factor 0.2): J. Liu et al. 2025, "Muon is scalable for LLM training", section 2.2. torch.optim.Muon takes
two-dimensional parameters only, and most of ours are kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5
FEWEST_ROWS, FEWEST_COLUMNS = 16, 32
"""Smaller matrices (depthwise kernels, the first convolution of three colours) stay with AdamW."""
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_RMS = 0.2
"""Of AdamW's steps, typically."""


def is_matrix(parameter: Tensor) -> bool:
    """True where Muon is for it: a kernel counts as a matrix of a row per output channel."""
    return (
        parameter.ndim >= 2
        and len(parameter) >= FEWEST_ROWS
        and parameter.numel() // len(parameter) >= FEWEST_COLUMNS
    )


def orthogonal(matrix: Tensor) -> Tensor:
    """The same singular vectors with singular values of about 1 (0.7 to 1.2), by Newton and Schulz.

    Args:
        matrix: (rows, columns), any float type; where it is all zeros it stays so.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """Muon for the groups with `"muon": True`, AdamW for the others; one rate fits both.

    Args:
        groups: of parameters; decay of the weights as AdamW's.
        lr: learning rate.
        dtype: of the products; bfloat16 is exact enough, and faster where the processor has it.
        fused: for AdamW.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, dtype: torch.dtype, fused: bool) -> None:
        super().__init__([{"muon": False, **group} for group in groups], lr=lr, fused=fused)
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all groups."""
        loss = None
        if closure is not None:  # its gradients are for the matrices, too
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        for group in groups:
            if group["muon"]:
                for parameter in group["params"]:
                    self._step_matrix(parameter, group["lr"], group["weight_decay"])
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        return loss

    def _step_matrix(self, parameter: nn.Parameter, rate: float, weight_decay: float) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # AdamW looks for it where a state is loaded
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        wanted = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's
        step = orthogonal(wanted.to(self._dtype)).to(parameter.dtype).view(parameter.shape)
        parameter.mul_(1 - rate * weight_decay)
        parameter.add_(step, alpha=-rate * _RMS * max(wanted.shape) ** 0.5)
