"""RTMDet's SepBN head: levels share convolutions, and have batch norms of their own (RTMDet, 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from rtmpose_sdk.models.layers import ConvModule, conv

STRIDES = (8, 16, 32)
STACKED_CONVS = 2


class RTMDetSepBNHead(nn.Module):
    """The head.

    Args:
        channels: of every level.
        classes: number of classes; 1 for persons.
        depthwise: convolutions are depthwise-separable, and not shared among levels (nano).
        exp_on_reg: distances are exponentials (m, l, x), else the raw numbers (nano, tiny, s).
    """

    def __init__(self, channels: int, classes: int, depthwise: bool, exp_on_reg: bool) -> None:
        super().__init__()
        self.exp_on_reg = exp_on_reg

        def stacks() -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(*(conv(depthwise, channels, channels, 3) for _ in range(STACKED_CONVS)))
                for _ in STRIDES
            )

        self.cls_convs, self.reg_convs = stacks(), stacks()
        self.rtm_cls = nn.ModuleList(nn.Conv2d(channels, classes, 1) for _ in STRIDES)
        self.rtm_reg = nn.ModuleList(nn.Conv2d(channels, 4, 1) for _ in STRIDES)
        if not depthwise:
            for levels in (self.cls_convs, self.reg_convs):
                _share_convolutions(levels)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Features at strides 8, 16, 32 → three logits (N,classes,H,W), three distances (N,4,H,W).

        Distances are left, top, right, bottom of a grid point, in px of the network input.
        """
        logits, distances = [], []
        for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
            logits.append(self.rtm_cls[level](self.cls_convs[level](feature)))
            raw = self.rtm_reg[level](self.reg_convs[level](feature))
            distances.append((raw.exp() if self.exp_on_reg else raw) * stride)
        return (*logits, *distances)


def _share_convolutions(levels: nn.ModuleList) -> None:
    """One convolution under the names of all levels, as in the published checkpoints."""
    for depth in range(STACKED_CONVS):
        first = levels.get_submodule(f"0.{depth}")
        for level in range(1, len(STRIDES)):
            other = levels.get_submodule(f"{level}.{depth}")
            assert isinstance(first, ConvModule)
            assert isinstance(other, ConvModule)
            other.conv = first.conv
