"""A heatmap head beside the SimCC head, for training only."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rtmpose_sdk.models import PoseModel
from rtmpose_sdk.models.build import HeadOptions
from rtmpose_sdk.models.heatmap_head import HeatmapHead

AUXILIARY = "heatmaps."
"""Beginning of the names of tensors that are not shipped."""


class WithHeatmaps(PoseModel):
    """A pose network that also gives heatmaps while it is trained.

    Maps teach a backbone within minutes what SimCC's bins teach it within hours (the trap that
    pre-training avoids, too), and here the SimCC head follows the backbone from the start. Outside
    training the network is a `PoseModel`.

    Args:
        name, keypoints, input_size, head: see `PoseModel`; the head gives SimCC.
    """

    def __init__(
        self, name: str, keypoints: int, input_size: tuple[int, int], head: HeadOptions | None = None
    ) -> None:
        super().__init__(name, keypoints, input_size, head=head)
        self.heatmaps = HeatmapHead(self.backbone.out_channels[-1], keypoints)

    def forward(self, x: Tensor) -> Any:
        """(N,3,H,W), normalised RGB → in training (SimCC x and y), heatmaps (N,K,h,w); else SimCC."""
        features = self.features(x)
        return (self.head(features), self.heatmaps(features)) if self.training else self.head(features)
