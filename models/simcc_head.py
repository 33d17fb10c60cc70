"""RTMPose's head: 7x7 convolution → 256 features per keypoint → GAU → two classifiers (Figure 2)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from rtmpose_sdk.models.gau import GAU, HIDDEN_DIMS, ScaleNorm
from rtmpose_sdk.models.heatmap_head import PAPER_DECONVS, deconvolutions

KERNEL_SIZE = 7
"""Paper, section 3.4 and Table 2."""


class SimCCHead(nn.Module):
    """The head.

    Args:
        in_channels: channels of the stride-32 feature.
        keypoints: K.
        input_size: (width, height) of the network input in px, multiples of 32.
        split_ratio: bins per px.
        kernel_size: of the last convolution (Table 2); odd.
        gau: False leaves the Gated Attention Unit out.
    """

    def __init__(
        self,
        in_channels: int,
        keypoints: int,
        input_size: tuple[int, int],
        split_ratio: float,
        kernel_size: int = KERNEL_SIZE,
        gau: bool = True,
    ) -> None:
        super().__init__()
        width, height = input_size
        cells = (width // 32) * (height // 32)
        self.final_layer = nn.Conv2d(in_channels, keypoints, kernel_size, padding=kernel_size // 2)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, HIDDEN_DIMS, bias=False))
        self.gau: nn.Module = GAU() if gau else nn.Identity()
        self.cls_x = nn.Linear(HIDDEN_DIMS, int(width * split_ratio), bias=False)
        self.cls_y = nn.Linear(HIDDEN_DIMS, int(height * split_ratio), bias=False)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Features at strides 8, 16, 32 → SimCC (N,K,bins_x) and (N,K,bins_y)."""
        tokens = self.gau(self.mlp(self.final_layer(features[-1]).flatten(2)))
        return self.cls_x(tokens), self.cls_y(tokens)


class BaselineSimCCHead(nn.Module):
    """SimCC without RTMPose's additions (Table 1): map of each keypoint → two classifiers.

    Args:
        in_channels, keypoints, input_size, split_ratio: see `SimCCHead`.
        deconvs: channels of the upsampling; none of it is the paper's SimCC*.
    """

    def __init__(
        self,
        in_channels: int,
        keypoints: int,
        input_size: tuple[int, int],
        split_ratio: float,
        deconvs: tuple[int, ...] = PAPER_DECONVS,
    ) -> None:
        super().__init__()
        width, height = input_size
        cells = math.prod(side // 32 * 2 ** len(deconvs) for side in input_size)
        self.deconv_layers = deconvolutions(in_channels, deconvs)
        self.final_layer = nn.Conv2d(deconvs[-1] if deconvs else in_channels, keypoints, 1)
        self.cls_x = nn.Linear(cells, int(width * split_ratio))
        self.cls_y = nn.Linear(cells, int(height * split_ratio))

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Features at strides 8, 16, 32 → SimCC (N,K,bins_x) and (N,K,bins_y)."""
        cells = self.final_layer(self.deconv_layers(features[-1])).flatten(2)
        return self.cls_x(cells), self.cls_y(cells)
