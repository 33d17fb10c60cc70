"""CSPNeXtPAFPN, the neck of RTMDet and RTMW: top-down, then bottom-up (RTMDet, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rtmpose_sdk.models.layers import ConvModule, CSPLayer, conv


class CSPNeXtPAFPN(nn.Module):
    """The neck.

    Args:
        in_channels: channels of the backbone's strides 8, 16, 32.
        out_channels: of every output; None leaves them as they are (RTMW).
        blocks: blocks of each CSP layer.
        depthwise: convolutions are depthwise-separable (RTMDet-nano).
    """

    def __init__(
        self,
        in_channels: tuple[int, int, int],
        out_channels: int | None,
        blocks: int,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        c3, c4, c5 = in_channels

        def csp(start: int, end: int) -> CSPLayer:
            return CSPLayer(start, end, blocks, False, depthwise, attention=False)

        self.reduce_layers = nn.ModuleList([ConvModule(c5, c4, 1), ConvModule(c4, c3, 1)])
        self.top_down_blocks = nn.ModuleList([csp(2 * c4, c4), csp(2 * c3, c3)])
        self.downsamples = nn.ModuleList([conv(depthwise, c, c, 3, 2) for c in (c3, c4)])
        self.bottom_up_blocks = nn.ModuleList([csp(2 * c3, c4), csp(2 * c4, c5)])
        if out_channels is not None:
            self.out_convs = nn.ModuleList([conv(depthwise, c, out_channels, 3) for c in in_channels])
        self.has_out_convs = out_channels is not None

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features at strides 8, 16, 32 → the same strides."""
        c3, c4, c5 = features
        top5 = self.reduce_layers[0](c5)
        top4 = self.top_down_blocks[0](torch.cat([_double(top5), c4], dim=1))
        top4 = self.reduce_layers[1](top4)
        p3 = self.top_down_blocks[1](torch.cat([_double(top4), c3], dim=1))
        p4 = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](p3), top4], dim=1))
        p5 = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](p4), top5], dim=1))
        if self.has_out_convs:
            p3, p4, p5 = (out(p) for out, p in zip(self.out_convs, (p3, p4, p5), strict=True))
        return p3, p4, p5


def _double(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0, mode="nearest")
