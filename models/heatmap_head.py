"""A heatmap head: deconvolutions and one map per keypoint (paper, Table 1, and pre-training, 3.2)."""

from __future__ import annotations

import math

from torch import Tensor, nn

LABEL_SIGMA_CELLS = 1.0
"""Of training's labels, in cells of a map at stride 8; MMPose's 2 cells at stride 4 are the same in px."""
PAPER_DECONVS = (256, 256, 256)
"""Channels of the deconvolutions of Table 1's heatmap and SimCC heads; they lead to stride 4."""
PRETRAINING_DECONVS = (128, 128)
"""To stride 8: a light head teaches a small backbone as well, at a fraction of the cost."""


def deconvolutions(in_channels: int, channels: tuple[int, ...]) -> nn.Sequential:
    """Each doubles width and height."""
    layers: list[nn.Module] = []
    for out_channels in channels:
        layers += [
            nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
        in_channels = out_channels
    return nn.Sequential(*layers)


class HeatmapHead(nn.Module):
    """The head.

    Args:
        in_channels: channels of the stride-32 feature.
        keypoints: K.
        deconvs: output channels of each deconvolution.
        raw: the maps are the answer as they are (CSPNeXt's published pre-training, squared error).
    """

    def __init__(
        self,
        in_channels: int,
        keypoints: int,
        deconvs: tuple[int, ...] = PRETRAINING_DECONVS,
        raw: bool = False,
    ) -> None:
        super().__init__()
        self.raw = raw
        self.deconv_layers = deconvolutions(in_channels, deconvs)
        self.final_layer = nn.Conv2d(deconvs[-1] if deconvs else in_channels, keypoints, 1)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Features at strides 8, 16, 32 → (N,K,h,w): logits in training, else raw maps or probabilities.

        Probabilities are in units of the peak of a label, so that a sure keypoint's height is about 1.
        """
        maps: Tensor = self.final_layer(self.deconv_layers(features[-1]))
        if self.training or self.raw:
            return maps
        probabilities = maps.flatten(2).softmax(-1).view(maps.shape)
        return probabilities * (2 * math.pi * LABEL_SIGMA_CELLS**2)
