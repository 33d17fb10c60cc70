"""The training loop: one step after another, saved so that any interruption resumes exactly.

What a step sees depends on the seed and the step's number alone, so a resumed run repeats nothing and
leaves nothing out.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rtmpose_sdk.errors import TrainingError
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.batches import Batches, batch_threads
from rtmpose_sdk.training.logs import Log
from rtmpose_sdk.training.optimizer import Ema, OptimizerName, build_optimizer, rate_at
from rtmpose_sdk.training.state import State, save_weights

LAST, BEST = "last.pt", "best.pth"
LOG_EVERY = 50
LOGGED = 20
"""Rows that log.csv has at least, where a run has as many steps: a short one's curve is seen, too."""
MOST_SKIPPED = 20
"""Of fp16's steps in a row; as often halved, the scaler's first scale of 65,536 is below 1."""


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
        weight_decay: as in AdamW; none on norms and biases.
        ema_decay: 0 is no average.
        clip_norm: gradients are shortened to this norm.
        evaluate_every, save_every: steps.
        tensorboard: write its events beside the CSV files.
        optimizer: adamw is the paper's; muon makes the steps of matrices orthogonal.
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
    optimizer: OptimizerName = "adamw"

    def evaluates(self, done: int) -> bool:
        """True where so many steps are followed by an evaluation."""
        return done > 0 and (done % self.evaluate_every == 0 or done == self.steps)


def run_training(
    task: Task,
    schedule: Schedule,
    folder: Path,
    fabric: Fabric,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
    on_evaluation: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
) -> nn.Module:
    """Train, or go on where `folder` was left.

    Args:
        task: what is trained.
        schedule: how long and how fast.
        folder: the run: last.pt (everything that resuming needs), best.pth, log.csv, figures.csv.
        fabric: devices and precision.
        on_step: shown the number of steps done and the latest figures.
        on_evaluation: shown the number of steps done and an evaluation's figures.

    Returns:
        The network to ship: the best by the task's figure, else the last average.

    Raises:
        TrainingError: the loss or a gradient is not finite (in fp16: gradients of many steps in a row);
            last.pt holds the weights before it.
    """
    scaled = getattr(fabric.strategy.precision, "scaler", None) is not None
    network, optimizer = fabric.setup(
        task.network,
        # Fabric does not shorten the gradients of a fused optimizer in fp16.
        build_optimizer(
            task.network,
            schedule.rate,
            schedule.weight_decay,
            schedule.optimizer,
            fused=not scaled,
            dtype=torch.bfloat16 if fabric.strategy.precision.precision == "bf16-mixed" else torch.float32,
        ),
    )
    ema = Ema(task.network, schedule.ema_decay)
    state = State(task.network, optimizer.optimizer, ema, fabric.strategy.precision, folder / LAST)
    done = state.load(fabric.device) if (folder / LAST).is_file() else 0
    fabric.barrier()  # all have read the state before one of them writes another
    log = Log(folder, done, state.evaluated, schedule.tensorboard) if fabric.is_global_zero else None
    means = _Means()
    log_every = max(min(LOG_EVERY, schedule.steps // LOGGED), 1)

    def evaluate() -> None:
        """Saves before, for an evaluation may break, and after, for it may have found the best."""
        if log is not None:
            state.save(done)
            figures = _evaluate(task, ema.network, state, log, folder, done)
            state.save(done)
            if figures:
                on_evaluation(done, figures)
        fabric.barrier()
        means.restart()

    if schedule.evaluates(done) and state.evaluated < done:
        evaluate()  # it was killed there
    network.train()
    threads = batch_threads(fabric.device.type, allowed_cores(), fabric.world_size)
    with (
        _interruptible(fabric) as stop,
        Batches(
            lambda step: task.batch(step, fabric.global_rank, fabric.world_size),
            done,
            schedule.steps,
            threads,
        ) as batches,
    ):
        for step, batch in batches:
            rate = rate_at(step, schedule.steps, schedule.rate, schedule.warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
            parts = task.losses(network, batch, fabric.device)
            parts["loss"] = torch.stack(list(parts.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(parts["loss"])
            parts["gradient"] = _clip(fabric, network, optimizer, schedule.clip_norm)
            # One wait for a GPU instead of one for each part.
            values = dict(zip(parts, torch.stack([*parts.values()]).tolist(), strict=True))
            # Too large for fp16: the loss was scaled up too far. The scaler skips the step and scales less.
            overflowed = scaled and math.isfinite(values["loss"]) and not math.isfinite(values["gradient"])
            state.skipped = state.skipped + 1 if overflowed else 0
            broken = not overflowed and not all(map(math.isfinite, values.values()))
            if broken or state.skipped == MOST_SKIPPED:
                what = _not_finite(values, state.skipped)
                raise TrainingError(f"step {step}: {what}; {_advice(task.describe(batch), folder / LAST)}")
            optimizer.step()
            if not overflowed:
                ema.update(task.network)
                means.add(values)
            done = step + 1
            last = done == schedule.steps
            if (done % log_every == 0 or last) and means:
                figures = means.take() | {"rate": rate}
                if log is not None:
                    log.step(done, figures)
                on_step(done, figures)
            evaluating = schedule.evaluates(done)
            if evaluating:
                evaluate()
            stopped = stop()
            saving = stopped or done % schedule.save_every == 0
            if saving and not evaluating and fabric.is_global_zero:
                state.save(done)
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

    def __bool__(self) -> bool:
        return self._count > 0

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


def _evaluate(
    task: Task, network: nn.Module, state: State, log: Log, folder: Path, done: int
) -> dict[str, float]:
    """The figures; empty where there is nothing to evaluate on."""
    figures = task.evaluate(network)
    state.evaluated = done
    if not figures:
        return figures
    log.evaluation(done, figures)
    if figures[task.figure] >= state.best:
        state.best = figures[task.figure]
        save_weights(network, folder / BEST)
    return figures


def _shipped(folder: Path, network: nn.Module) -> nn.Module:
    if (folder / BEST).is_file():
        network.load_state_dict(torch.load(folder / BEST, map_location="cpu", weights_only=True))
    return network


def _not_finite(values: Mapping[str, float], skipped: int) -> str:
    found = ", ".join(f"{name} {value:g}" for name, value in values.items())
    if skipped:
        return f"the gradients of {skipped} steps in a row are too large for fp16 ({found})"
    what = "a gradient" if math.isfinite(values["loss"]) else "the loss"
    return f"{what} is not a finite number ({found})"


def _advice(batch: str, last: Path) -> str:
    kept = f"{last} holds the last good state" if last.is_file() else "nothing was saved before it"
    return (
        f"the batch was {batch}; {kept}. Look at those samples (rtmpose data check), or start again with a "
        "lower --rate, or in fp32 or bf16"
    )


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
