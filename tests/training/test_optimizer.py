"""Learning rate, weight decay groups, averaged weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rtmpose_sdk.models import build_model
from rtmpose_sdk.training.muon import orthogonal
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


def _singular_values(matrix: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svd(matrix.double(), full_matrices=False).S


@pytest.mark.parametrize("shape", [(40, 40), (24, 90), (90, 24)])
def test_muon_keeps_directions_and_evens_out_their_sizes(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    sizes = torch.logspace(0, -2, min(shape))  # the least a hundredth of the largest
    found = orthogonal(u @ torch.diag(sizes) @ v)
    inner = u.T @ found @ v.T
    assert _singular_values(found).min() > 0.5
    assert _singular_values(found).max() < 1.3
    assert (inner - torch.diag(torch.diagonal(inner))).abs().max() < 1e-4
    assert torch.equal(orthogonal(torch.zeros(shape)), torch.zeros(shape))


def test_muon_steps_matrices_and_adamw_the_rest() -> None:
    network = build_model("rtmpose-t", keypoint_set=5, input_size=(64, 64)).to(
        memory_format=torch.channels_last
    )
    other = copy.deepcopy(network)
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    muon, adamw = (build_optimizer(n, 1e-2, 0.1, name) for n, name in ((network, "muon"), (other, "adamw")))
    groups = muon.param_groups
    matrices = {id(p) for p in groups[2]["params"]}
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in network.parameters()}
    for n, optimizer in ((network, muon), (other, adamw)):
        before = {name: p.detach().clone() for name, p in n.named_parameters()}
        sum(v.square().mean() for v in n(x)).backward()
        optimizer.step()
    assert muon.param_groups is groups
    assert len(matrices) > 30
    for (name, mine), reference in zip(network.named_parameters(), other.parameters(), strict=True):
        if id(mine) not in matrices:
            assert torch.equal(mine, reference), name
            continue
        rows = mine.flatten(1)
        moved = (mine.detach() - before[name] * (1 - 1e-2 * 0.1)).flatten(1)
        expected = orthogonal((reference.grad * (0.05 * 0.95 + 0.05)).flatten(1))
        assert torch.allclose(moved, -1e-2 * 0.2 * max(rows.shape) ** 0.5 * expected, atol=1e-6), name


def test_muon_goes_on_from_its_state() -> None:
    def stepped(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            x = torch.randn(8, 40, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()

    whole = nn.Sequential(nn.Linear(40, 32), nn.Linear(32, 3))
    cut = copy.deepcopy(whole)
    stepped(whole, build_optimizer(whole, 1e-2, 0.0, "muon"), range(6))
    first, second = (build_optimizer(cut, 1e-2, 0.0, "muon") for _ in range(2))
    stepped(cut, first, range(3))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    stepped(cut, second, range(3, 6))
    assert torch.equal(whole[0].weight, cut[0].weight)
    assert torch.equal(whole[1].bias, cut[1].bias)


def test_muon_steps_by_the_gradients_of_its_closure() -> None:
    x = torch.randn(8, 40, generator=torch.Generator().manual_seed(0))
    plain = nn.Linear(40, 32)
    other = copy.deepcopy(plain)
    plain(x).square().mean().backward()
    build_optimizer(plain, 1e-2, 0.0, "muon").step()

    def closure() -> float:
        loss = other(x).square().mean()
        loss.backward()
        return loss.item()

    before = other(x).square().mean().item()
    assert build_optimizer(other, 1e-2, 0.0, "muon").step(closure) == before
    assert torch.equal(plain.weight, other.weight)
    assert torch.equal(plain.bias, other.bias)


def test_muon_finds_a_matrix_that_adamw_has_not_found_yet() -> None:
    """Directions of very different sizes, across the axes: what Muon is for."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(40, 40, generator=generator)).Q
    x = torch.randn(512, 40, generator=generator) * torch.logspace(0, -2, 40) @ turn
    wanted = torch.randn(40, 32, generator=generator)
    left = {}
    for name in ("muon", "adamw"):
        network = nn.Linear(40, 32, bias=False)
        nn.init.zeros_(network.weight)
        optimizer = build_optimizer(network, 0.05, 0.0, name)
        for step in range(200):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, 200, 0.05, 0)
            optimizer.zero_grad()
            (network(x) - x @ wanted).square().mean().backward()
            optimizer.step()
        left[name] = (network.weight.T - wanted).square().mean().item()
    assert left["muon"] < 0.8 * left["adamw"]


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
