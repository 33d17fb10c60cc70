"""CSPNeXt, the backbone of RTMDet and RTMPose (RTMDet, section 3.2; RTMPose paper, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtmpose_sdk.models.layers import ConvModule, CSPLayer, conv

STAGES = ((64, 128, 3), (128, 256, 6), (256, 512, 6), (512, 1024, 3))
"""Input channels, output channels and blocks of the four stages, at width and depth 1."""
SPP_KERNEL, SPP_POOLINGS = 5, 3
"""Windows of 5, 9 and 13, one from the other: 75 comparisons a value instead of 275."""

FIRST_WEIGHT = "backbone.stem.0.conv.weight"
"""Of every network around it: (C,3,3,3), by the picture's colours."""


class SPP(nn.Module):
    """Spatial pyramid pooling: the input beside its maxima over growing windows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels // 2, 1)
        self.pooling = nn.MaxPool2d(SPP_KERNEL, stride=1, padding=SPP_KERNEL // 2)
        self.conv2 = ConvModule(channels // 2 * (SPP_POOLINGS + 1), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → the same shape."""
        maxima = [self.conv1(x)]
        for _ in range(SPP_POOLINGS):
            maxima.append(self.pooling(maxima[-1]))
        result: Tensor = self.conv2(torch.cat(maxima, dim=1))
        return result


class CSPNeXt(nn.Module):
    """The backbone.

    Args:
        widen, deepen: factors on channels and on blocks.
        depthwise: 3x3 convolutions of the stages are depthwise-separable (RTMDet-nano).
    """

    def __init__(self, widen: float, deepen: float, depthwise: bool = False) -> None:
        super().__init__()
        stem = int(STAGES[0][0] * widen)
        self.stem = nn.Sequential(
            ConvModule(3, stem // 2, 3, 2),
            ConvModule(stem // 2, stem // 2, 3),
            ConvModule(stem // 2, stem, 3),
        )
        channels = []
        for i, (start, end, blocks) in enumerate(STAGES):
            in_channels, out_channels = int(start * widen), int(end * widen)
            last = i == len(STAGES) - 1
            stage = [
                conv(depthwise, in_channels, out_channels, 3, 2),
                *([SPP(out_channels)] if last else []),
                CSPLayer(
                    out_channels,
                    out_channels,
                    max(round(blocks * deepen), 1),
                    shortcut=not last,
                    depthwise=depthwise,
                    attention=True,
                ),
            ]
            self.add_module(f"stage{i + 1}", nn.Sequential(*stage))
            channels.append(out_channels)
        self.out_channels = (channels[1], channels[2], channels[3])
        self._frozen: tuple[str, ...] = ()

    def freeze(self, stages: int) -> None:
        """Keep the stem and the first stages as they are: no gradients, no new running statistics.

        They see the largest maps, so training becomes up to twice as fast.

        Args:
            stages: 0 is nothing, 1 the stem, 2 the stem and stage 1, ... 5 everything.
        """
        self._frozen = ("stem", "stage1", "stage2", "stage3", "stage4")[:stages]
        for name in self._frozen:
            self.get_submodule(name).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> CSPNeXt:
        """Training mode, but for what is frozen."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N,3,H,W), normalised → features at strides 8, 16 and 32."""
        x = self.get_submodule("stage1")(self.stem(x))
        c3 = self.get_submodule("stage2")(x)
        c4 = self.get_submodule("stage3")(c3)
        c5 = self.get_submodule("stage4")(c4)
        return c3, c4, c5
