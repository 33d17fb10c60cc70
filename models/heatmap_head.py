"""A heatmap head: deconvolutions and one map per keypoint. For pre-training a backbone (section 3.4)."""

from __future__ import annotations

from torch import Tensor, nn

PRETRAINING_DECONVS = (128, 128)
"""Channels of the deconvolutions; two of them lead to stride 8, at a fifth of the backbone's cost."""


class HeatmapHead(nn.Module):
    """The head.

    Args:
        in_channels: channels of the stride-32 feature.
        keypoints: K.
        deconvs: output channels of each deconvolution, which doubles width and height.
    """

    def __init__(
        self, in_channels: int, keypoints: int, deconvs: tuple[int, ...] = PRETRAINING_DECONVS
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in deconvs:
            layers += [
                nn.ConvTranspose2d(in_channels, channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            in_channels = channels
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(in_channels, keypoints, 1)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Features at strides 8, 16, 32 → logits (N,K,h,w)."""
        maps: Tensor = self.final_layer(self.deconv_layers(features[-1]))
        return maps
