"""RTMW's head: RTMPose's, fed by two strides of the neck (128 features per keypoint from each)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtmpose_sdk.models.gau import GAU, HIDDEN_DIMS, ScaleNorm
from rtmpose_sdk.models.layers import ConvModule
from rtmpose_sdk.models.simcc_head import KERNEL_SIZE


class RTMWHead(nn.Module):
    """The head; arguments as `SimCCHead`."""

    def __init__(
        self, in_channels: int, keypoints: int, input_size: tuple[int, int], split_ratio: float
    ) -> None:
        super().__init__()
        width, height = input_size
        cells = (width // 32) * (height // 32)
        quarter, fine = in_channels // 4, in_channels // 2 + in_channels // 4

        def block(start: int, end: int) -> ConvModule:
            return ConvModule(start, end, KERNEL_SIZE, activation=nn.ReLU(inplace=True))

        self.ps = nn.PixelShuffle(2)
        self.conv_dec = block(quarter, quarter)
        self.final_layer = block(in_channels, keypoints)
        self.final_layer2 = block(fine, keypoints)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, HIDDEN_DIMS // 2, bias=False))
        self.mlp2 = nn.Sequential(ScaleNorm(4 * cells), nn.Linear(4 * cells, HIDDEN_DIMS // 2, bias=False))
        self.gau = GAU()
        self.cls_x = nn.Linear(HIDDEN_DIMS, int(width * split_ratio), bias=False)
        self.cls_y = nn.Linear(HIDDEN_DIMS, int(height * split_ratio), bias=False)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Features at strides 8, 16, 32 → SimCC (N,K,bins_x) and (N,K,bins_y)."""
        _, p4, p5 = features
        coarse = self.mlp(self.final_layer(p5).flatten(2))
        upsampled = self.conv_dec(self.ps(p5))
        fine = self.mlp2(self.final_layer2(torch.cat([upsampled, p4], dim=1)).flatten(2))
        tokens = self.gau(torch.cat([coarse, fine], dim=2))
        return self.cls_x(tokens), self.cls_y(tokens)
