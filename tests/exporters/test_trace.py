"""Detectors are traced in two parts; the graph has to be the one of both, at every size."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import at_size, build_onnx
from rtmpose_sdk.exporters.operator_set import OPSET
from rtmpose_sdk.exporters.verify import torch_reference


class _Levels(nn.Module):
    """A detector's outputs at strides 8, 16 and 32, from a convolution each."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.heads = nn.ModuleList(
            nn.Conv2d(3, channels, stride, stride) for channels in (1, 4) for stride in (8, 16, 32)
        )
        self.flat = flat

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.flat:  # what depends on the size of the picture
            x = x + x.flatten(2).mean(2)[..., None, None]
        return tuple(head(x) for head in self.heads)


@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_the_traced_graph_is_the_network_at_every_size(kind: str) -> None:
    network, card = _Levels().eval(), new_card("rtmdet-nano", (96, 64), input_kind=kind)
    model = build_onnx(network, card)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    one_size = at_size(model, card)
    closed = onnxruntime.InferenceSession(one_size.SerializeToString())
    for batch, height, width in ((2, 64, 96), (1, 64, 96), (3, 96, 32)):
        pictures = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
        wanted = torch_reference(network, card)(pictures)[0]
        mean, std = np.array(card.mean, np.float32), np.array(card.std, np.float32)
        given = pictures if kind == "image" else ((pictures - mean) / std).transpose(0, 3, 1, 2)
        sized = [closed] if (height, width) == (64, 96) else []
        for which in (session, *sized):
            found = which.run(["boxes", "scores"], {which.get_inputs()[0].name: given})
            np.testing.assert_allclose(found[0], wanted["boxes"], rtol=1e-5, atol=1e-4)
            np.testing.assert_allclose(found[1], wanted["scores"], rtol=1e-5, atol=1e-6)
    of_sizes = {"Shape", "Range", "Expand"}
    assert of_sizes <= {node.op_type for node in model.graph.node}
    assert not of_sizes & {node.op_type for node in one_size.graph.node}  # computed once


def test_convolutions_that_hold_a_size_are_noticed() -> None:
    card = new_card("rtmdet-nano", (96, 64))
    with pytest.raises(AssertionError, match="Reshape"):
        build_onnx(_Levels(flat=True).eval(), card)
