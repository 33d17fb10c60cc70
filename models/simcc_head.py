"""RTMPose's head: 7x7 convolution → 256 features per keypoint → GAU → two classifiers (Figure 2)."""

from __future__ import annotations

from torch import Tensor, nn

from rtmpose_sdk.models.gau import GAU, HIDDEN_DIMS, ScaleNorm

KERNEL_SIZE = 7
"""Paper, section 3.4 and Table 2."""


class SimCCHead(nn.Module):
    """The head.

    Args:
        in_channels: channels of the stride-32 feature.
        keypoints: K.
        input_size: (width, height) of the network input in px, multiples of 32.
        split_ratio: bins per px.
    """

    def __init__(
        self, in_channels: int, keypoints: int, input_size: tuple[int, int], split_ratio: float
    ) -> None:
        super().__init__()
        width, height = input_size
        cells = (width // 32) * (height // 32)
        self.final_layer = nn.Conv2d(in_channels, keypoints, KERNEL_SIZE, padding=KERNEL_SIZE // 2)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, HIDDEN_DIMS, bias=False))
        self.gau = GAU()
        self.cls_x = nn.Linear(HIDDEN_DIMS, int(width * split_ratio), bias=False)
        self.cls_y = nn.Linear(HIDDEN_DIMS, int(height * split_ratio), bias=False)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Features at strides 8, 16, 32 → SimCC (N,K,bins_x) and (N,K,bins_y)."""
        tokens = self.gau(self.mlp(self.final_layer(features[-1]).flatten(2)))
        return self.cls_x(tokens), self.cls_y(tokens)
