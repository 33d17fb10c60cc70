"""The same network, written so that its numbers fit into fp16 (largest 65504, smallest normal 6e-5).

Not one weight has to be small for it: every value that a layer hands on is bounded by how it is made.
In fp32 the results are the same, up to rounding.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from rtmpose_sdk.models.gau import ATTENTION_DIMS, GAU, ScaleNorm
from rtmpose_sdk.models.layers import ConvModule
from rtmpose_sdk.models.rtmw_head import RTMWHead
from rtmpose_sdk.models.simcc_head import SimCCHead

_SMALLEST = 2.0**-14
"""fp16's smallest normal number; stands where a division by 0 would be."""


class HalfScaleNorm(nn.Module):
    """`ScaleNorm` of x / max|x|: squares are at most 1, and their sum at most the number of features.

    The plain one overflows where a feature passes 256, and its eps of 1e-5 is not a normal fp16 number.
    They differ only where all features are below 6e-5.
    """

    def __init__(self, norm: ScaleNorm) -> None:
        super().__init__()
        self.scale = norm.scale
        self.g = norm.g

    def forward(self, x: Tensor) -> Tensor:
        """(...,dims) → the same shape."""
        x = x / x.abs().amax(dim=-1, keepdim=True).clamp(min=_SMALLEST)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.scale
        result: Tensor = x / norm.clamp(min=0.5 * self.scale) * self.g
        return result


class HalfGAU(nn.Module):
    """`GAU` with each row of the attention divided by its largest value m before it is squared.

    relu(a)^2 v = m^2 (relu(a) / m)^2 v: squares are at most 1 instead of up to 4e9, small ones do not
    vanish, and the factor m^2 comes back after the last product, one m at a time. The 1/sqrt(s) of eq. 2
    stands before the product of query and key, half of it on either side.
    """

    def __init__(self, gau: GAU) -> None:
        super().__init__()
        self.widths = gau.widths
        self.uv, self.o, self.res_scale = gau.uv, gau.o, gau.res_scale
        self.ln = HalfScaleNorm(gau.ln)
        root = math.sqrt(math.sqrt(ATTENTION_DIMS))
        # One vector each: a slice of a parameter becomes several layers in some engines.
        self.gamma_q, self.gamma_k = (nn.Parameter(row / root) for row in gau.gamma.detach())
        self.beta_q, self.beta_k = (nn.Parameter(row / root) for row in gau.beta.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(N,K,dims) → the same shape."""
        u, v, z = torch.split(silu(self.uv(self.ln(x))), self.widths, dim=-1)
        query = z * self.gamma_q + self.beta_q
        key = z * self.gamma_k + self.beta_k
        attention = (query @ key.transpose(1, 2)).relu()
        most = attention.amax(dim=-1, keepdim=True).clamp(min=_SMALLEST)
        attention = (attention / most).square()
        result: Tensor = self.res_scale(x) + self.o(u * (attention @ v)) * most * most
        return result


def with_half_range(network: nn.Module) -> nn.Module:
    """A copy of a network whose head keeps within fp16's range. Detectors need no change.

    The map of each keypoint is divided by a power of two, the size of its kernel: a ScaleNorm follows,
    which takes every factor out again.
    """
    network = copy.deepcopy(network).eval()
    for head in [m for m in network.modules() if isinstance(m, (SimCCHead, RTMWHead))]:
        if isinstance(head, RTMWHead):
            for block in (head.final_layer, head.final_layer2):
                _shrink_normalized(block)
            mlps = [head.mlp, head.mlp2]
        else:
            _shrink(head.final_layer)
            mlps = [head.mlp]
        for mlp in mlps:
            assert isinstance(mlp[0], ScaleNorm)
            mlp[0] = HalfScaleNorm(mlp[0])
        if isinstance(head.gau, GAU):
            head.gau = HalfGAU(head.gau)
    return network


def _power_of_two(norms: Tensor) -> Tensor:
    """The power of two next above each number; 1 for 0. Dividing by it loses no bit."""
    return torch.exp2(torch.where(norms > 0, norms, torch.ones_like(norms)).log2().ceil())


@torch.no_grad()
def _shrink(layer: nn.Conv2d) -> None:
    """Kernels of length 1 at most: an output is then no larger than the patch that it sees."""
    factors = _power_of_two(layer.weight.flatten(1).norm(dim=1))
    layer.weight /= factors[:, None, None, None]
    if layer.bias is not None:
        layer.bias /= factors


@torch.no_grad()
def _shrink_normalized(block: ConvModule) -> None:
    """The same for convolution → batch norm → ReLU: a factor above 0 passes the ReLU."""
    spread = (block.bn.running_var + block.bn.eps).sqrt() if block.bn.running_var is not None else 1.0
    gain = block.bn.weight.abs() / spread
    factors = _power_of_two(block.conv.weight.flatten(1).norm(dim=1) * gain)
    block.bn.weight.div_(factors)
    block.bn.bias.div_(factors)
