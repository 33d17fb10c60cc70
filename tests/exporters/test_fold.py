"""What is folded into weights gives the same answers, and leaves the network as it was."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from rtmpose_sdk.exporters.fold import folded, turn_colors  # noqa: E402
from rtmpose_sdk.models import build_model  # noqa: E402


def _lively(network: nn.Module) -> nn.Module:
    """Weights that keep a signal's size, so that the output depends on the picture, and statistics."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.4 / parameter[0].numel() ** 0.5, generator=generator)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", ["rtmdet-nano", "rtmdet-s"])  # whose levels share convolutions, not norms
def test_batch_norms_go_into_the_convolutions(name: str) -> None:
    network = _lively(build_model(name, input_size=(64, 64)))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    made = folded(network)
    with torch.no_grad():
        for want, have in zip(network(picture), made(picture), strict=True):
            assert float((want - have).abs().max()) <= 1e-4 * float(want.abs().max())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_network_of_rgb_takes_bgr() -> None:
    network = _lively(build_model("rtmpose-t", keypoint_set="coco17", input_size=(64, 64)))
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want, other = network(picture), network(picture.flip(1))
        turn_colors(network)
        have = network(picture.flip(1))
    for a, b, c in zip(want, have, other, strict=True):
        assert float((a - b).abs().max()) <= 1e-4 * float(a.abs().max())
        assert float((a - c).abs().max()) > 1e-3 * float(a.abs().max())
