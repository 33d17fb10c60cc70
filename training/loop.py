"""The training loop: one step after another, saved so that any interruption resumes exactly.

What a step sees depends on the seed and the step's number alone, so a resumed run repeats nothing and
leaves nothing out.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rtmpose_sdk.errors import TrainingError
from rtmpose_sdk.training.logs import Log
from rtmpose_sdk.training.optimizer import Ema, build_optimizer, rate_at

LAST, BEST = "last.pt", "best.pth"
LOG_EVERY = 50
PREFETCHED = 2


class Task(Protocol):
    """What is trained: where batches come from, what the loss is, how good the network is."""

    network: nn.Module
    figure: str
    """Name of the evaluation's figure that decides which checkpoint is best."""

    def batch(self, step: int, rank: int, ranks: int) -> Any:
        """What process `rank` of `ranks` sees at a step; the same for the same arguments."""

    def losses(self, network: nn.Module, batch: Any, device: torch.device) -> dict[str, Tensor]:
        """Parts of the loss by name; their sum is minimised."""

    def describe(self, batch: Any) -> str:
        """Names what is in a batch, for errors."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Figures of a network; empty where there is nothing to evaluate on."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the whole run.
        rate: the flat learning rate.
        warmup: steps of the linear warm-up.
        weight_decay: AdamW's; none on norms and biases.
        ema_decay: 0 is no average.
        clip_norm: gradients are shortened to this norm.
        evaluate_every, save_every: steps.
        tensorboard: write its events beside the CSV files.
    """

    steps: int
    rate: float
    warmup: int
    weight_decay: float
    ema_decay: float
    clip_norm: float
    evaluate_every: int
    save_every: int
    tensorboard: bool = False


def run_training(
    task: Task,
    schedule: Schedule,
    folder: Path,
    fabric: Fabric,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
) -> nn.Module:
    """Train, or go on where `folder` was left.

    Args:
        task: what is trained.
        schedule: how long and how fast.
        folder: the run: last.pt (everything that resuming needs), best.pth, log.csv, figures.csv.
        fabric: devices and precision.
        on_step: shown the number of steps done and the latest figures.

    Returns:
        The network to ship: the best by the task's figure, else the last average.

    Raises:
        TrainingError: the loss or a gradient is not finite; last.pt holds the weights before it.
    """
    network, optimizer = fabric.setup(
        task.network, build_optimizer(task.network, schedule.rate, schedule.weight_decay)
    )
    ema = Ema(task.network, schedule.ema_decay)
    state = _State(task.network, optimizer.optimizer, ema, folder / LAST)
    done = state.load(fabric.device) if (folder / LAST).is_file() else 0
    log, means = Log(folder, done, schedule.tensorboard and fabric.is_global_zero), _Means()
    network.train()
    with _interruptible(fabric) as stop, _Batches(task, fabric, done, schedule.steps) as batches:
        for step, batch in batches:
            rate = rate_at(step, schedule.steps, schedule.rate, schedule.warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
            parts = task.losses(network, batch, fabric.device)
            parts["loss"] = torch.stack(list(parts.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(parts["loss"])
            parts["gradient"] = _clip(fabric, network, optimizer, schedule.clip_norm)
            values = {name: value.item() for name, value in parts.items()}
            if not all(map(math.isfinite, values.values())):
                raise TrainingError(_not_finite(step, values, task.describe(batch), folder / LAST))
            optimizer.step()
            ema.update(task.network)
            means.add(values)
            done = step + 1
            last = done == schedule.steps
            if done % LOG_EVERY == 0 or last:
                figures = means.take() | {"rate": rate}
                if fabric.is_global_zero:
                    log.step(done, figures)
                on_step(done, figures)
            evaluating = done % schedule.evaluate_every == 0 or last
            if evaluating and fabric.is_global_zero:
                _evaluate(task, ema.network, state, log, folder, done)
                means.restart()
            stopped = stop()
            if (stopped or evaluating or done % schedule.save_every == 0) and fabric.is_global_zero:
                state.save(done)
            if evaluating:
                fabric.barrier()
            if stopped:
                raise KeyboardInterrupt
    return _shipped(folder, ema.network)


def _clip(fabric: Fabric, network: Any, optimizer: Any, norm: float) -> Tensor:
    """The gradient's norm before it was shortened."""
    found = fabric.clip_gradients(network, optimizer, max_norm=norm, error_if_nonfinite=False)
    assert found is not None
    return found


class _Means:
    """Means of the steps since they were last asked for, and how fast those steps were."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0
        self._since = time.perf_counter()

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def restart(self) -> None:
        """Time that was spent on something else does not count."""
        self._since = time.perf_counter()

    def take(self) -> dict[str, float]:
        now = time.perf_counter()
        figures = {name: value / self._count for name, value in self._sums.items()}
        figures["steps_per_second"] = self._count / (now - self._since)
        self._sums, self._count, self._since = {}, 0, now
        return figures


def _evaluate(task: Task, network: nn.Module, state: _State, log: Log, folder: Path, done: int) -> None:
    figures = task.evaluate(network)
    if not figures:
        return
    log.evaluation(done, figures)
    if figures[task.figure] >= state.best:
        state.best = figures[task.figure]
        save_weights(network, folder / BEST)


def _shipped(folder: Path, network: nn.Module) -> nn.Module:
    if (folder / BEST).is_file():
        network.load_state_dict(torch.load(folder / BEST, map_location="cpu", weights_only=True))
    return network


def save_weights(network: nn.Module, file: Path, leave_out: str | None = None) -> None:
    """A bare state dict, in the published layout, under its final name only when it is whole.

    Args:
        network: whose.
        file: where.
        leave_out: beginning of the names that are left out.
    """
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    if leave_out is not None:
        state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
    _write(state, file)


def _write(content: Mapping[str, Any], file: Path) -> None:
    part = file.with_name(file.name + ".part")
    torch.save(content, part)
    os.replace(part, file)


def _not_finite(step: int, values: Mapping[str, float], batch: str, last: Path) -> str:
    found = ", ".join(f"{name} {value:g}" for name, value in values.items())
    what = "a gradient" if math.isfinite(values["loss"]) else "the loss"
    kept = f"{last} holds the last good state" if last.is_file() else "nothing was saved before it"
    return (
        f"step {step}: {what} is not a finite number ({found}); the batch was {batch}; {kept}. Look at "
        "those samples (rtmpose data check), or start again with a lower --rate or in fp32"
    )


class _State:
    """Everything that resuming needs."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema, file: Path) -> None:
        self.network, self.optimizer, self.ema, self.file = network, optimizer, ema, file
        self.best = -math.inf

    def save(self, step: int) -> None:
        _write(
            {
                "step": step,
                "best": self.best,
                "network": self.network.state_dict(),
                "ema": self.ema.network.state_dict(),
                "ema_steps": self.ema.steps,
                "optimizer": self.optimizer.state_dict(),
            },
            self.file,
        )

    def load(self, device: torch.device) -> int:
        """Steps that were done.

        Raises:
            TrainingError: not what this run wrote.
        """
        try:
            content = torch.load(self.file, map_location=device, weights_only=True)
            self.network.load_state_dict(content["network"])
            self.ema.network.load_state_dict(content["ema"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.best, self.ema.steps = content["best"], content["ema_steps"]
            return int(content["step"])
        except Exception as error:  # noqa: BLE001 - a damaged file makes the unpickler raise anything
            raise TrainingError(
                f"{self.file}: cannot be resumed from ({error!s:.300}); start the run again in a new "
                "folder, with --init for the weights that there are"
            ) from None


class _Batches:
    """Batches in order, made ahead by a thread of its own (OpenCV and torch release the lock)."""

    def __init__(self, task: Task, fabric: Fabric, begin: int, end: int) -> None:
        self._make = lambda step: task.batch(step, fabric.global_rank, fabric.world_size)
        self._range = range(begin, end)
        self._pool = ThreadPoolExecutor(1, "batches")

    def __enter__(self) -> Iterator[tuple[int, Any]]:
        return self._iterate()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _iterate(self) -> Iterator[tuple[int, Any]]:
        waiting = [self._pool.submit(self._make, step) for step in self._range[:PREFETCHED]]
        for step in self._range:
            following = step + PREFETCHED
            if following in self._range:
                waiting.append(self._pool.submit(self._make, following))
            yield step, waiting.pop(0).result()


@contextmanager
def _interruptible(fabric: Fabric) -> Iterator[Callable[[], bool]]:
    """A signal to stop is obeyed after the step that runs, by all processes after the same one."""
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    kept = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in signals}

    def stop() -> bool:
        if fabric.world_size == 1:
            return bool(asked)
        flag = torch.tensor(float(bool(asked)), device=fabric.device)
        total = fabric.all_reduce(flag, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.item() > 0

    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
