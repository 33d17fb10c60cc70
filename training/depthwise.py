"""Depthwise convolutions whose gradients are fast on a CPU.

oneDNN has fast kernels for some gradients of depthwise convolutions and none for others, which then take
half of a training step. What is slow is put together of what is fast:

- the weights' gradient of a 5x5 kernel, of four 3x3 windows that cover it, on shifted inputs;
- in bf16, the input's gradient of a stride of 2, of the gradient with zeros between and a stride of 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_WINDOW = 3
_OFFSETS = (0, 2)
"""First rows (and columns) of the windows; row 2 is in two of them and means the same there."""
_SLOW = {(5, 1), (3, 2)}
"""Kernel and stride."""


class _Depthwise(torch.autograd.Function):
    """No bias; the padding is half of the kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_input = _input_gradient(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        of_weight = _weight_gradient(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[1] else None
        return of_input, of_weight, None


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    if stride > 1 and gradient.dtype != torch.float32:
        spread = torch.zeros_like(x)
        spread[..., ::stride, ::stride] = gradient
        gradient, stride = spread, 1
    return _gradient(gradient, x, weight, weight.shape[2] // 2, stride, 0)


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    padding = weight.shape[2] // 2
    if weight.shape[2] == _WINDOW:
        return _gradient(gradient, x, weight, padding, stride, 1)
    result = torch.empty_like(weight)
    padded = functional.pad(x, [padding] * 4)
    height, width = (side + _WINDOW - 1 for side in x.shape[2:])
    for top in _OFFSETS:
        for left in _OFFSETS:
            seen = padded[..., top : top + height, left : left + width]
            seen = seen.contiguous(memory_format=torch.channels_last)
            part = (..., slice(top, top + _WINDOW), slice(left, left + _WINDOW))
            result[part] = _gradient(gradient, seen, weight[part].contiguous(), 0, stride, 1)
    return result


def _gradient(gradient: Tensor, x: Tensor, weight: Tensor, padding: int, stride: int, which: int) -> Tensor:
    """Of the input (`which` 0) or of the weights (1)."""
    wanted = [which == 0, which == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], x.shape[1], wanted
    )[which]
    return found


class FastDepthwise(nn.Conv2d):
    """The same convolution with the same parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → (N,C,h,w)."""
        if not (self.training and torch.is_grad_enabled() and x.device.type == "cpu"):
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):  # a function of one's own is not on autocast's list
            x, weight = (t.to(torch.get_autocast_dtype("cpu")) for t in (x, weight))
        result: Tensor = _Depthwise.apply(x, weight, self.stride[0])  # type: ignore[no-untyped-call]
        return result


def speed_up(network: nn.Module) -> None:
    """Let a network's slow depthwise convolutions take the fast way on a CPU; nothing else changes.

    Args:
        network: changed in place; names and parameters stay.
    """
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.groups == module.in_channels == module.out_channels
            and (module.kernel_size[0], module.stride[0]) in _SLOW
            and len({*module.kernel_size}) == len({*module.stride}) == 1
            and module.padding == (module.kernel_size[0] // 2,) * 2
            and module.dilation == (1, 1)
            and module.bias is None
            and module.padding_mode == "zeros"
        ):
            module.__class__ = FastDepthwise
