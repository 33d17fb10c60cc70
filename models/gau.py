"""The Gated Attention Unit over keypoint tokens (RTMPose paper, section 3.3, eq. 1 and 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, silu

HIDDEN_DIMS = 256
ATTENTION_DIMS = 128
"""s of eq. 2."""
EXPANSION_FACTOR = 2


class ScaleNorm(nn.Module):
    """A vector divided by its root mean square, times one learned number `g`."""

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.scale = dims**-0.5
        self.eps = eps
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """(...,dims) → the same shape."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True) * self.scale
        result: Tensor = x / norm.clamp(min=self.eps) * self.g
        return result


class Scale(nn.Module):
    """One learned factor per feature."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dims))

    def forward(self, x: Tensor) -> Tensor:
        """(...,dims) → the same shape."""
        return x * self.scale


class GAU(nn.Module):
    """Self-attention among K keypoint tokens, with a shortcut.

    The released networks leave out eq. 2's 1/n.
    """

    def __init__(self, dims: int = HIDDEN_DIMS) -> None:
        super().__init__()
        expanded = EXPANSION_FACTOR * dims
        self.widths = [expanded, expanded, ATTENTION_DIMS]
        self.gamma = nn.Parameter(torch.rand(2, ATTENTION_DIMS))
        self.beta = nn.Parameter(torch.rand(2, ATTENTION_DIMS))
        self.o = nn.Linear(expanded, dims, bias=False)
        self.uv = nn.Linear(dims, sum(self.widths), bias=False)
        self.ln = ScaleNorm(dims)
        self.res_scale = Scale(dims)

    def forward(self, x: Tensor) -> Tensor:
        """(N,K,dims) → the same shape."""
        u, v, z = torch.split(silu(self.uv(self.ln(x))), self.widths, dim=-1)
        query = z * self.gamma[0] + self.beta[0]
        key = z * self.gamma[1] + self.beta[1]
        attention = relu(query @ key.transpose(1, 2) / math.sqrt(ATTENTION_DIMS)).square()
        result: Tensor = self.res_scale(x) + self.o(u * (attention @ v))
        return result
