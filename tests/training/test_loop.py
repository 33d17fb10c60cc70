"""One step is PyTorch's; a killed run goes on to the same curve; NaN stops."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rtmpose_sdk.errors import TrainingError
from rtmpose_sdk.training.logs import read_log
from rtmpose_sdk.training.loop import Schedule, run_training
from rtmpose_sdk.training.optimizer import rate_at

SCHEDULE = Schedule(60, 0.05, 5, 0.1, 0.9, 1.0, 20, 10)


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 1))


class _Line:
    """Fits a line; the batch is drawn from the step's number alone."""

    figure = "AP"

    def __init__(self, broken_at: int = -1, kill_at: int = -1) -> None:
        self.network: nn.Module = _network()
        self._broken_at, self._kill_at = broken_at, kill_at

    def batch(self, step: int, rank: int, ranks: int) -> tuple[int, Tensor]:
        values = np.random.default_rng((7, step, rank)).normal(size=(8, 3)).astype(np.float32)
        return step, torch.from_numpy(values)

    def losses(
        self, network: nn.Module, batch: tuple[int, Tensor], device: torch.device
    ) -> dict[str, Tensor]:
        step, x = batch
        if step == self._kill_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == self._broken_at:
            x = x * float("nan")  # reaches the running statistics, too
        loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
        return {"fit": loss}

    def describe(self, batch: tuple[int, Tensor]) -> str:
        return f"samples of step {batch[0]}"

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        x = torch.eye(3)
        with torch.no_grad():
            return {"AP": -(network(x) - 1).square().mean().item()}


def _fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_steps_are_pytorch_written_out(tmp_path: Path) -> None:
    task = _Line()
    network = _network()
    weights = [network[0].weight, network[2].weight]
    others = [network[1].weight, network[1].bias, network[2].bias]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=0.05
    )
    for step in range(SCHEDULE.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, 60, 0.05, 5)
        _, x = task.batch(step, 0, 1)
        optimizer.zero_grad()
        (network(x) - x.sum(1, keepdim=True)).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    run_training(task, SCHEDULE, tmp_path, _fabric())
    for name, value in task.network.state_dict().items():
        assert torch.allclose(value.float(), network.state_dict()[name].float(), atol=1e-5), name


def test_a_killed_run_goes_on_to_the_same_weights_and_curve(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    run_training(_Line(), SCHEDULE, whole, _fabric())
    for step in (13, 37):
        with pytest.raises(KeyboardInterrupt):
            run_training(_Line(kill_at=step), SCHEDULE, cut, _fabric())
    # A kill that nothing can catch: what was logged after the last save is done again.
    state = (cut / "last.pt").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run_training(_Line(kill_at=55), SCHEDULE, cut, _fabric())
    (cut / "last.pt").write_bytes(state)
    run_training(_Line(), SCHEDULE, cut, _fabric())
    first, second = (torch.load(f / "last.pt", weights_only=True) for f in (whole, cut))
    for part in ("network", "ema"):
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), name
    assert first["best"] == second["best"]
    assert read_log(whole / "figures.csv") == read_log(cut / "figures.csv")
    assert read_log(whole / "figures.csv")["step"] == [20, 40, 60]


def test_nan_stops_names_the_batch_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 33: the loss .* samples of step 33"):
        run_training(_Line(broken_at=33), SCHEDULE, tmp_path, _fabric())
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["step"] == 30  # saved every 10 steps
    assert all(torch.isfinite(v).all() for v in state["network"].values())
    whole = run_training(_Line(), SCHEDULE, tmp_path, _fabric())  # the data was mended
    assert all(torch.isfinite(v).all() for v in whole.state_dict().values())


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 half of a file")
    with pytest.raises(TrainingError, match="cannot be resumed from"):
        run_training(_Line(), SCHEDULE, tmp_path, _fabric())


def test_the_best_weights_are_shipped_not_the_last(tmp_path: Path) -> None:
    class Worse(_Line):
        def evaluate(self, network: nn.Module) -> dict[str, float]:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 1:
                self.first = {k: v.clone() for k, v in network.state_dict().items()}
            return {"AP": 1.0 / self.calls}

    task = Worse()
    shipped = run_training(task, SCHEDULE, tmp_path, _fabric())
    for name, value in shipped.state_dict().items():
        assert torch.equal(value, task.first[name])
