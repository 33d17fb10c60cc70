"""The building blocks that backbone, neck and heads share; attribute names are the checkpoints'."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvModule(nn.Module):
    """Convolution without bias → batch normalisation → activation (SiLU unless another is given)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            kernel_size // 2,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.activate = activation or nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → (N,C',H/stride,W/stride)."""
        result: Tensor = self.activate(self.bn(self.conv(x)))
        return result


class DepthwiseSeparableConv(nn.Module):
    """Depthwise ConvModule → pointwise ConvModule."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(in_channels, in_channels, kernel_size, stride, groups=in_channels)
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → (N,C',H/stride,W/stride)."""
        result: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return result


def conv(
    depthwise: bool, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
) -> nn.Module:
    """A ConvModule, or its depthwise-separable form (RTMDet-nano)."""
    kind = DepthwiseSeparableConv if depthwise else ConvModule
    return kind(in_channels, out_channels, kernel_size, stride)


class ChannelAttention(nn.Module):
    """Each channel times a gate in 0...1 that is computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Hardsigmoid(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → the same shape."""
        gate: Tensor = self.gate(self.fc(x.mean((2, 3), keepdim=True)))
        return x * gate


class CSPNeXtBlock(nn.Module):
    """3x3 convolution → depthwise-separable 5x5, with an optional shortcut around both."""

    def __init__(self, channels: int, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        self.conv1 = conv(depthwise, channels, channels, 3)
        self.conv2 = DepthwiseSeparableConv(channels, channels, 5)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → the same shape."""
        result: Tensor = self.conv2(self.conv1(x))
        return result + x if self.shortcut else result


class CSPLayer(nn.Module):
    """Cross-stage-partial layer: half of the channels pass through blocks, half go around."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        shortcut: bool,
        depthwise: bool,
        attention: bool,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv = ConvModule(in_channels, half, 1)
        self.short_conv = ConvModule(in_channels, half, 1)
        self.final_conv = ConvModule(2 * half, out_channels, 1)
        self.blocks = nn.Sequential(*(CSPNeXtBlock(half, shortcut, depthwise) for _ in range(blocks)))
        if attention:
            self.attention = ChannelAttention(2 * half)
        self.has_attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) → (N,C',H,W)."""
        joined = torch.cat([self.blocks(self.main_conv(x)), self.short_conv(x)], dim=1)
        result: Tensor = self.final_conv(self.attention(joined) if self.has_attention else joined)
        return result
