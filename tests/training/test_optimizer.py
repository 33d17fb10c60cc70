"""Learning rate, weight decay groups, averaged weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rtmpose_sdk.models import build_model
from rtmpose_sdk.training.optimizer import Ema, build_optimizer, default_rate, rate_at


def test_rate_is_the_published_one_per_batch() -> None:
    assert default_rate("pose", 1024) == pytest.approx(4e-3)
    assert default_rate("pose", 64) == pytest.approx(2.5e-4)
    assert default_rate("detector", 256) == pytest.approx(4e-3)
    assert default_rate("detector", 16) == pytest.approx(2.5e-4)


def test_warm_up_flat_cosine() -> None:
    rates = [rate_at(step, 1000, 1.0, warmup=100) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[50] == pytest.approx(0.5, abs=1e-4)
    assert set(rates[100:500]) == {1.0}
    assert rates[750] == pytest.approx((1 + 0.05) / 2)
    assert rates[-1] == pytest.approx(0.05, abs=1e-4)
    assert sorted(rates[100:], reverse=True) == rates[100:]


def test_norms_biases_and_gains_have_no_decay_and_nothing_is_lost() -> None:
    network = build_model("rtmdet-s")  # its levels share convolutions
    decayed, free = build_optimizer(network, 1e-3, 0.05).param_groups
    assert decayed["weight_decay"] == 0.05
    assert free["weight_decay"] == 0
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert all(p.ndim < 2 for p in free["params"])
    chosen = {id(p) for group in (decayed, free) for p in group["params"]}
    assert chosen == {id(p) for p in network.parameters()}


def test_frozen_stages_are_not_optimised_and_keep_their_statistics() -> None:
    network = build_model("rtmpose-t", keypoint_set=5, input_size=(64, 64))
    network.backbone.freeze(2)
    network.train()
    before = {n: v.clone() for n, v in network.backbone.stem.state_dict().items()}
    optimizer = build_optimizer(network, 1e-2, 0.0)
    sum(v.square().mean() for v in network(torch.randn(4, 3, 64, 64))).backward()
    optimizer.step()
    for name, value in network.backbone.stem.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert network.backbone.stage2[0].conv.weight.grad is not None


def test_average_follows_its_formula_and_takes_statistics_in() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(network[0].weight, 0.0)
    ema = Ema(network, decay=0.9)
    expected, weights = 0.0, []
    for step in range(1, 200):
        value = float(step)
        nn.init.constant_(network[0].weight, value)
        network[1].running_mean.fill_(value)
        network[1].num_batches_tracked.fill_(step)
        ema.update(network)
        keep = min(0.9, step / (step + 9))
        expected = keep * expected + (1 - keep) * value
        weights.append(ema.network[0].weight.item())
    assert weights[-1] == pytest.approx(expected, rel=1e-5)
    assert ema.network[1].running_mean.item() == pytest.approx(expected, rel=1e-5)
    assert ema.network[1].num_batches_tracked.item() == 199
