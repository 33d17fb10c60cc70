"""What of a network can be computed once, in its weights, instead of for every picture?"""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rtmpose_sdk.models.layers import ConvModule


def folded(network: nn.Module) -> nn.Module:
    """A copy for inference whose batch normalisations are in the weights of their convolutions."""
    network = copy.deepcopy(network).eval()
    for block in [m for m in network.modules() if isinstance(m, ConvModule)]:
        block.conv = fuse_conv_bn_eval(block.conv, block.bn)
        block.register_module("bn", nn.Identity())
    return network


def turn_colors(network: nn.Module) -> None:
    """Let a network of RGB take BGR, in place."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    first.weight.data = first.weight.data.flip(1)
