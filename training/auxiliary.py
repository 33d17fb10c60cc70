"""A heatmap head beside the SimCC head, for training only."""

from __future__ import annotations

from torch import Tensor, nn

from rtmpose_sdk.models import PoseModel
from rtmpose_sdk.models.heatmap_head import HeatmapHead


class WithHeatmaps(nn.Module):
    """A pose network that also gives heatmaps while it is trained.

    Maps teach a backbone within minutes what SimCC's bins teach it within hours (the same trap that
    pre-training avoids), and here the SimCC head follows the backbone from the start. The second head
    is not part of what is shipped.

    Args:
        pose: the network; gives SimCC.
    """

    def __init__(self, pose: PoseModel) -> None:
        super().__init__()
        self.pose = pose
        self.heatmaps = HeatmapHead(pose.backbone.out_channels[-1], pose.keypoints)

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """(N,3,H,W), normalised RGB → SimCC (N,K,bins) twice, and heatmaps (N,K,h,w)."""
        features = self.pose.features(x)
        return self.pose.head(features), self.heatmaps(features)
