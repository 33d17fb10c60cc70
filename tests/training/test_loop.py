"""One step is PyTorch's; a killed run goes on to the same curve; NaN stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn

from rtmpose_sdk.errors import DataError, OutputError, TrainingError
from rtmpose_sdk.training.batches import Batches, batch_threads
from rtmpose_sdk.training.logs import read_log
from rtmpose_sdk.training.loop import Schedule, run_training
from rtmpose_sdk.training.optimizer import rate_at
from rtmpose_sdk.training.state import write_whole

SCHEDULE = Schedule(60, 0.05, 5, 0.1, 0.9, 1.0, 20, 10)


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 1))


def _terminate() -> None:
    """What SIGTERM would run. A real one is for a process of its own: test_run_stopped.py."""
    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler)
    handler(signal.SIGTERM, None)


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
            _terminate()
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


def test_other_processes_than_the_first_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_training(_Line(), replace(SCHEDULE, steps=40), tmp_path, _fabric())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert {"last.pt", "best.pth", "log.csv", "figures.csv"} == set(before)
    monkeypatch.setattr(Fabric, "is_global_zero", False)
    with pytest.raises(KeyboardInterrupt):  # resumed, and stopped after an evaluation and a save
        run_training(_Line(kill_at=55), SCHEDULE, tmp_path, _fabric())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_nan_stops_names_the_batch_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 33: the loss .* samples of step 33"):
        run_training(_Line(broken_at=33), SCHEDULE, tmp_path, _fabric())
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["step"] == 30  # saved every 10 steps
    assert all(torch.isfinite(v).all() for v in state["network"].values())
    whole = run_training(_Line(), SCHEDULE, tmp_path, _fabric())  # the data was mended
    assert all(torch.isfinite(v).all() for v in whole.state_dict().values())


def test_an_evaluation_that_breaks_loses_no_step_and_is_made_up_for(tmp_path: Path) -> None:
    class Breaks(_Line):
        def evaluate(self, network: nn.Module) -> dict[str, float]:
            raise DataError("a picture is missing")

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    run_training(_Line(), SCHEDULE, whole, _fabric())
    late = replace(SCHEDULE, evaluate_every=SCHEDULE.steps, save_every=1000)
    with pytest.raises(DataError):
        run_training(Breaks(), late, cut, _fabric())
    assert torch.load(cut / "last.pt", weights_only=True)["step"] == SCHEDULE.steps
    # Killed between the figures and the state that knows of them: they are not written twice.
    (cut / "figures.csv").write_text(f"step,AP\n{SCHEDULE.steps},0\n")
    shipped = run_training(_Line(), late, cut, _fabric())
    figures = read_log(cut / "figures.csv")
    assert figures["step"] == [SCHEDULE.steps]
    assert figures["AP"][-1] == read_log(whole / "figures.csv")["AP"][-1]
    assert torch.load(cut / "last.pt", weights_only=True)["best"] > -np.inf
    best = torch.load(cut / "best.pth", weights_only=True)
    for name, value in shipped.state_dict().items():
        assert torch.equal(value, best[name])


def test_all_wait_until_a_stopped_run_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabric kills the first process where another one ends before it."""
    seen: list[bool] = []
    monkeypatch.setattr(Fabric, "barrier", lambda self: seen.append((tmp_path / "last.pt").is_file()))
    with pytest.raises(KeyboardInterrupt):
        run_training(_Line(kill_at=3), SCHEDULE, tmp_path, _fabric())
    assert seen == [False, True]


def test_an_evaluation_does_not_count_as_time_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    class Timed(_Line):
        def losses(self, *given: Any) -> dict[str, Tensor]:
            clock[0] += 0.5
            return super().losses(*given)

        def evaluate(self, network: nn.Module) -> dict[str, float]:
            clock[0] += 1000
            return super().evaluate(network)

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    run_training(Timed(), SCHEDULE, tmp_path, _fabric())
    assert set(read_log(tmp_path / "log.csv")["steps_per_second"]) == {2.0}


def test_a_state_is_read_to_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, AdamW in fp16 would wait for it once for each of its counts of steps."""
    with pytest.raises(KeyboardInterrupt):
        run_training(_Line(kill_at=3), SCHEDULE, tmp_path, _fabric())
    load, places = torch.load, []

    class OnGpu(Fabric):
        @property
        def device(self) -> torch.device:
            return torch.device("cuda", 1) if self._models_setup else super().device

    def spy(file: Path, *, map_location: Any, **options: Any) -> Any:
        places.append(map_location)
        return load(file, map_location="cpu", **options)

    monkeypatch.setattr(torch, "load", spy)
    run_training(_Line(), SCHEDULE, tmp_path, OnGpu(accelerator="cpu", devices=1))
    assert {str(place) for place in places} == {"cpu"}


class _Scaler(torch.amp.GradScaler):
    """Halves at an overflow, as on a GPU."""

    def __init__(self, scale: float) -> None:
        super().__init__("cpu", init_scale=scale, growth_interval=7)


class _Fp32Scaled(MixedPrecision):
    """fp16's machinery without its arithmetic, which not every processor has."""

    def __init__(self, scale: float) -> None:
        super().__init__("16-mixed", "cpu", _Scaler(scale))

    def forward_context(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    def convert_input(self, data: Any) -> Any:
        return data


def _scaled(scale: float) -> Fabric:
    return Fabric(accelerator="cpu", devices=1, plugins=[_Fp32Scaled(scale)])


class _Overflows(_Line):
    """Gradients of some steps are infinite; their losses are not."""

    def __init__(self, steps: tuple[int, ...], kill_at: int = -1) -> None:
        super().__init__(kill_at=kill_at)
        self._steps = steps

    def losses(
        self, network: nn.Module, batch: tuple[int, Tensor], device: torch.device
    ) -> dict[str, Tensor]:
        losses = super().losses(network, batch, device)
        if batch[0] in self._steps:
            weight = self.network[0].weight  # type: ignore[index]
            losses["root"] = (weight - weight.detach()).abs().sqrt().sum()  # 0, with an infinite slope
        return losses


def test_fp16_skips_a_step_that_overflows(tmp_path: Path) -> None:
    seen = []
    task = _Overflows((0, 1, 40))
    run_training(task, SCHEDULE, tmp_path, _scaled(2.0**10), lambda done, figures: seen.append(figures))
    assert all(torch.isfinite(v).all() for v in task.network.state_dict().values())
    assert all(np.isfinite(value) for figures in seen for value in figures.values())
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["ema_steps"] == SCHEDULE.steps - 3
    assert state["optimizer"]["state"][0]["step"] == SCHEDULE.steps - 3
    assert state["skipped"] == 0


def test_fp16_resumes_with_its_scale(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    run_training(_Overflows((3, 30, 31)), SCHEDULE, whole, _scaled(2.0**10))
    with pytest.raises(KeyboardInterrupt):
        run_training(_Overflows((3, 30, 31), kill_at=30), SCHEDULE, cut, _scaled(2.0**10))
    assert torch.load(cut / "last.pt", weights_only=True)["skipped"] == 1
    run_training(_Overflows((3, 30, 31)), SCHEDULE, cut, _scaled(1.0))  # the first scale is not asked again
    first, second = (torch.load(f / "last.pt", weights_only=True) for f in (whole, cut))
    assert first["precision"]["scale"] == second["precision"]["scale"] != 2.0**10
    assert first["precision"]["_growth_tracker"] == second["precision"]["_growth_tracker"]
    for name, value in first["network"].items():
        assert torch.equal(value, second["network"][name]), name


def test_fp16_that_overflows_for_long_stops(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 32: the gradients of 20 steps in a row .* fp16"):
        run_training(_Overflows(tuple(range(13, 60))), SCHEDULE, tmp_path, _scaled(2.0**10))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 30


def test_fp16_does_not_forgive_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="step 5: the loss"):
        run_training(_Line(broken_at=5), SCHEDULE, tmp_path, _scaled(2.0**10))


@pytest.mark.parametrize("fabric", [_fabric, lambda: _scaled(2.0**10)])
def test_a_broken_loss_of_another_process_stops_all(
    fabric: Callable[[], Fabric], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gradient is not finite in any of them; fp16 would take it for an overflow."""
    theirs = {"fit": float("nan"), "loss": float("nan"), "gradient": float("nan")}
    monkeypatch.setattr(Fabric, "world_size", 2)
    monkeypatch.setattr(Fabric, "broadcast", lambda self, own, rank: (theirs, "theirs") if rank else own)
    with pytest.raises(TrainingError, match=r"step 5: the loss .*; the batch was theirs"):
        run_training(_Overflows((5,)), SCHEDULE, tmp_path, fabric())


def test_batches_come_in_order_from_several_threads() -> None:
    others = threading.Barrier(3)
    made = []

    def make(step: int) -> int:
        if step < 3:
            others.wait(timeout=60)  # passed by three threads at a time, or never
        made.append(step)
        return step * step

    with Batches(make, 0, 12, threads=3) as batches:
        assert list(batches) == [(step, step * step) for step in range(12)]
    assert sorted(made) == list(range(12))
    assert batch_threads("cpu", 16, 1) == batch_threads("cuda", 2, 2) == 1
    assert batch_threads("cuda", 16, 4) == 3
    assert batch_threads("cuda", 64, 1) == 8


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 half of a file")
    with pytest.raises(TrainingError, match="cannot be resumed from"):
        run_training(_Line(), SCHEDULE, tmp_path, _fabric())


@pytest.mark.parametrize("error", [RuntimeError("unexpected pos 64"), OSError(28, "No space left")])
def test_a_full_disk_leaves_the_last_state(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole({"step": 1}, tmp_path / "last.pt")

    def breaks(content: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise error

    monkeypatch.setattr("torch.save", breaks)
    with pytest.raises(OutputError, match=r"last\.pt: cannot be written .* resume the run"):
        write_whole({"step": 2}, tmp_path / "last.pt")
    assert torch.load(tmp_path / "last.pt", weights_only=True) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


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
