"""The fast gradients are torch's own, and a network keeps its answers, names and parameters."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from rtmpose_sdk.models import build_model  # noqa: E402
from rtmpose_sdk.training.depthwise import FastDepthwise, speed_up  # noqa: E402


def _pair(channels: int, kernel: int, stride: int, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    convolutions = [
        nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False, dtype=dtype)
        for _ in range(2)
    ]
    convolutions[1].load_state_dict(convolutions[0].state_dict())
    speed_up(convolutions[1])
    assert type(convolutions[1]) is FastDepthwise
    return convolutions[0], convolutions[1]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(5, 1), (3, 2)]),
    st.integers(2, 9),
    st.tuples(st.integers(1, 13), st.integers(1, 13)),
    st.sampled_from([(torch.float64, 1e-9), (torch.bfloat16, 0.04)]),
)
def test_gradients_are_those_of_torch(
    kind: tuple[int, int], channels: int, size: tuple[int, int], how: tuple[torch.dtype, float]
) -> None:
    dtype, limit = how
    plain, fast = _pair(channels, *kind, dtype)
    inputs = [torch.randn(2, channels, *size, dtype=dtype) for _ in range(2)]
    inputs[1] = inputs[0].clone()
    answers = [m(x.requires_grad_()) for m, x in zip((plain, fast), inputs, strict=True)]
    assert torch.equal(answers[0], answers[1])
    gradient = torch.randn_like(answers[0])
    for answer in answers:
        answer.backward(gradient)
    for expected, found in ((inputs[0].grad, inputs[1].grad), (plain.weight.grad, fast.weight.grad)):
        assert expected is not None
        assert found is not None
        scale = float(expected.abs().max()) + 1e-6
        assert float((expected - found).abs().max()) <= limit * scale


def test_what_is_frozen_gets_no_gradient() -> None:
    _, fast = _pair(4, 5, 1, torch.float32)
    fast.requires_grad_(False)
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    fast(x).sum().backward()
    assert x.grad is not None
    assert fast.weight.grad is None


def test_autocast_takes_it_along() -> None:
    _, fast = _pair(4, 5, 1, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        answer = fast(torch.randn(1, 4, 6, 6))
    assert answer.dtype == torch.bfloat16
    answer.float().sum().backward()
    assert fast.weight.grad is not None
    assert fast.weight.grad.dtype == torch.float32


def test_a_detector_keeps_its_answers_and_names() -> None:
    network = build_model("rtmdet-nano", input_size=(64, 64))
    names = list(network.state_dict())
    x = torch.randn(2, 3, 64, 64)
    before = network.train()(x)
    speed_up(network)
    count = sum(type(m) is FastDepthwise for m in network.modules())
    assert count == sum(
        isinstance(m, nn.Conv2d) and m.groups > 1 and (m.kernel_size[0], m.stride[0]) in {(5, 1), (3, 2)}
        for m in network.modules()
    )
    assert count > 10
    assert list(network.state_dict()) == names
    for a, b in zip(before, network(x), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 5, 1, 2, groups=4),
        nn.Conv2d(4, 4, 5, 1, 2, groups=2, bias=False),
        nn.Conv2d(4, 8, 5, 1, 2, groups=4, bias=False),
        nn.Conv2d(4, 4, 5, 1, 0, groups=4, bias=False),
        nn.Conv2d(4, 4, 5, 1, 2, groups=4, bias=False, padding_mode="circular"),
        nn.Conv2d(4, 4, (5, 3), 1, (2, 1), groups=4, bias=False),
        nn.Conv2d(4, 4, 5, 1, 4, 2, groups=4, bias=False),
    ],
)
def test_other_convolutions_stay(other: nn.Conv2d) -> None:
    speed_up(other)
    assert type(other) is nn.Conv2d
