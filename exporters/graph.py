"""What stands around the network in an artifact's graph: picture input before it, box decode after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.fold import folded, turn_colors


def output_names(card: ModelCard) -> tuple[str, ...]:
    """Names of what a PyTorch network gives once it is wrapped for its card."""
    if card.decoder == "heatmap":
        return ("heatmaps",)
    return ("simcc_x", "simcc_y") if card.task == "pose" else ("boxes", "scores")


def example_input(card: ModelCard) -> Tensor:
    """Two samples of zeros as the artifact takes them; two, so that the batch is not taken for fixed."""
    width, height = card.input_size
    if card.takes_image:
        return torch.zeros(2, height, width, 3, dtype=torch.uint8)
    return torch.zeros(2, 3, height, width)


class ImageInput(nn.Module):
    """(N,h,w,3) uint8 BGR → network: layout, colour order and normalisation inside the graph.

    The network becomes part of it: where it takes RGB, its own weights are turned.
    """

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        mean, std = torch.tensor(card.mean), torch.tensor(card.std)
        if card.color_order == "rgb":
            turn_colors(network)
            mean, std = mean.flip(0), std.flip(0)
        self.network = network
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("scale", 1 / std.view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs of the network for (N,h,w,3) uint8 BGR."""
        tensor = image.permute(0, 3, 1, 2).float()
        return cast("tuple[Tensor, ...]", self.network((tensor - self.mean) * self.scale))


class BoxDecode(nn.Module):
    """RTMDet's levels → boxes (N,A,4) xyxy px of the input and scores (N,A).

    A point of the grid stands at (column, row) * stride, with no offset (MMDetection's RTMDet).
    """

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.strides = card.strides
        # Further than this from its point, a side is outside of the input anyway; exp() may overflow.
        self.farthest = 2.0 * max(card.input_size)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Boxes and scores for the network's outputs: scores of each level, then distances of each."""
        half = len(levels) // 2
        scores = torch.cat([level.flatten(2) for level in levels[:half]], dim=2).sigmoid().amax(dim=1)
        distances = torch.cat([level.flatten(2) for level in levels[half:]], dim=2).transpose(1, 2)
        distances = distances.clamp(-self.farthest, self.farthest)
        points = torch.cat([_grid(level, s) for level, s in zip(levels[:half], self.strides, strict=True)])
        boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=2)
        return boxes, scores


def _grid(level: Tensor, stride: int) -> Tensor:
    """The points (A,2) of a level (N,C,H,W), px of the network's input."""
    rows, columns = (torch.arange(n, device=level.device) * stride for n in level.shape[2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float()


def taking_input(network: nn.Module, card: ModelCard) -> nn.Module:
    """The network, folded, that takes what the artifact takes."""
    module = folded(network)
    if card.takes_image:
        module = ImageInput(module, card)
    return module.eval()


def in_graph(network: nn.Module, card: ModelCard) -> nn.Module:
    """The network, folded, with everything around it that the card says is in the graph."""
    module = taking_input(network, card)
    return nn.Sequential(module, BoxDecode(card)).eval() if card.task == "detect" else module
