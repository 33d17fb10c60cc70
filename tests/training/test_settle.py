"""Statistics for training: the answers stay, and what training sees is normal."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from rtmpose_sdk.training.settle import settle  # noqa: E402


class _Toy:
    figure = "AP"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.Conv2d(4, 5, 3),
            nn.BatchNorm2d(5, eps=1e-3),
        )
        self.data = 3 * torch.randn(4, 6, 3, 9, 9) + 2

    def batch(self, step: int, rank: int, ranks: int) -> Tensor:
        return self.data[step]

    def losses(self, network: nn.Module, batch: Any, device: torch.device) -> dict[str, Tensor]:
        assert network.training
        return {"loss": network(batch).mean()}

    def describe(self, batch: Any) -> str:
        return ""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        return {}


def test_the_answers_stay_and_training_gives_nearly_the_same() -> None:
    task = _Toy()
    network = task.network.eval()
    whole = task.data.flatten(0, 1)
    with torch.no_grad():
        before = network(whole)
        far = (network.train()(whole) - before).abs().max()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # training has changed them
                module.reset_running_stats()
        settle(task, torch.device("cpu"), 4)
        after = network.eval()(whole)
        assert torch.allclose(after, before, atol=1e-4)
        trained = network.train()(whole)
    assert float(far) > 1
    assert torch.allclose(trained, before, atol=1e-3)


def test_modes_and_hooks_are_as_before() -> None:
    task = _Toy()
    task.network.train()
    task.network[1].eval()
    settle(task, torch.device("cpu"), 1)
    assert task.network.training
    assert not task.network[1].training
    assert not task.network[1]._forward_pre_hooks
