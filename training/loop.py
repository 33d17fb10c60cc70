"""The training loop: one step after another, saved so that any interruption resumes exactly.

What a step sees depends on the seed and the step's number alone, so a resumed run repeats nothing and
leaves nothing out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rtmpose_sdk.errors import TrainingError
from rtmpose_sdk.models import read_checkpoint
from rtmpose_sdk.runs import BEST, LAST
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.batches import Batches, batch_threads
from rtmpose_sdk.training.logs import Log, Means
from rtmpose_sdk.training.optimizer import Ema, OptimizerName, build_optimizer, rate_at
from rtmpose_sdk.training.state import State, save_weights
from rtmpose_sdk.training.stopping import interruptible

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
    save: Callable[[nn.Module, Path], None] = save_weights,
) -> nn.Module:
    """Train, or go on where `folder` was left.

    Args:
        task: what is trained.
        schedule: how long and how fast.
        folder: the run: last.pt (everything that resuming needs), best.pth, log.csv, figures.csv.
        fabric: devices and precision.
        on_step: shown the number of steps done and the latest figures.
        on_evaluation: shown the number of steps done and an evaluation's figures.
        save: writes best.pth; what it leaves out is not shipped.

    Returns:
        The network to ship: the best by the task's figure, else the last average.

    Raises:
        TrainingError: the loss or a gradient is not finite (in fp16: gradients of many steps in a row);
            last.pt holds the weights before it.
    """
    return _Loop(task, schedule, folder, fabric, on_step, on_evaluation, save).run()


class _Loop:
    """One run of `run_training`; the arguments are its."""

    def __init__(
        self,
        task: Task,
        schedule: Schedule,
        folder: Path,
        fabric: Fabric,
        on_step: Callable[[int, dict[str, float]], None],
        on_evaluation: Callable[[int, dict[str, float]], None],
        save: Callable[[nn.Module, Path], None],
    ) -> None:
        self._task, self._schedule, self._folder, self._fabric = task, schedule, folder, fabric
        self._on_step, self._on_evaluation, self._save = on_step, on_evaluation, save
        precision = fabric.strategy.precision
        self._scaled = getattr(precision, "scaler", None) is not None
        network, optimizer = fabric.setup(
            task.network,
            # Fabric does not shorten the gradients of a fused optimizer in fp16.
            build_optimizer(
                task.network,
                schedule.rate,
                schedule.weight_decay,
                schedule.optimizer,
                fused=not self._scaled,
                dtype=torch.bfloat16 if precision.precision == "bf16-mixed" else torch.float32,
            ),
        )
        self._network: Any = network
        self._optimizer: Any = optimizer
        self._ema = Ema(task.network, schedule.ema_decay)
        self._state = State(task.network, optimizer.optimizer, self._ema, precision, folder / LAST)
        self._done = self._state.load() if (folder / LAST).is_file() else 0
        fabric.barrier()  # all have read the state before one of them writes another
        self._log: Log | None = None  # the first process's
        if fabric.is_global_zero:
            self._log = Log(folder, self._done, self._state.evaluated, schedule.tensorboard)
        self._means = Means()
        self._log_every = max(min(LOG_EVERY, schedule.steps // LOGGED), 1)

    def run(self) -> nn.Module:
        """All steps that are left; the network to ship."""
        fabric, schedule = self._fabric, self._schedule
        if schedule.evaluates(self._done) and self._state.evaluated < self._done:
            self._evaluate()  # it was killed there
        self._network.train()
        threads = batch_threads(fabric.device.type, allowed_cores(), fabric.world_size)
        with (
            interruptible(fabric) as stop,
            Batches(
                lambda step: self._task.batch(step, fabric.global_rank, fabric.world_size),
                self._done,
                schedule.steps,
                threads,
            ) as batches,
        ):
            for step, batch in batches:
                self._step(step, batch)
                evaluating = schedule.evaluates(self._done)
                if evaluating:
                    self._evaluate()
                stopped = stop()
                saving = stopped or self._done % schedule.save_every == 0
                if saving and not evaluating and fabric.is_global_zero:
                    self._state.save(self._done)
                if stopped:
                    fabric.barrier()  # nobody ends before all is saved: Fabric would kill who still saves
                    raise KeyboardInterrupt
        return self._shipped()

    def _step(self, step: int, batch: Any) -> None:
        """Learn from one batch, and show it."""
        schedule, optimizer = self._schedule, self._optimizer
        rate = rate_at(step, schedule.steps, schedule.rate, schedule.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = self._task.losses(self._network, batch, self._fabric.device)
        parts["loss"] = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(parts["loss"])
        parts["gradient"] = self._clip()
        # One wait for a GPU instead of one for each part.
        values = dict(zip(parts, torch.stack([*parts.values()]).tolist(), strict=True))
        overflowed = self._overflowed(step, batch, values)
        optimizer.step()
        if not overflowed:
            self._ema.update(self._task.network)
            self._means.add(values)
        self._done = step + 1
        if (self._done % self._log_every == 0 or self._done == schedule.steps) and self._means:
            figures = self._means.take() | {"rate": rate}
            if self._log is not None:
                self._log.step(self._done, figures)
            self._on_step(self._done, figures)

    def _clip(self) -> Tensor:
        """The gradient's norm before it was shortened."""
        found = self._fabric.clip_gradients(
            self._network, self._optimizer, max_norm=self._schedule.clip_norm, error_if_nonfinite=False
        )
        assert found is not None
        return found

    def _overflowed(self, step: int, batch: Any, values: Mapping[str, float]) -> bool:
        """True where a step was too large for fp16: the loss was scaled up too far.

        The scaler skips it, and scales less.

        Raises:
            TrainingError: not finite for another reason, or too many such steps in a row.
        """
        state = self._state
        if all(map(math.isfinite, values.values())):
            state.skipped = 0
            return False
        values, description = self._of_first_broken(values, self._task.describe(batch))
        overflowed = self._scaled and math.isfinite(values["loss"])
        state.skipped = state.skipped + 1 if overflowed else 0
        if not overflowed or state.skipped == MOST_SKIPPED:
            what = _not_finite(values, state.skipped)
            raise TrainingError(f"step {step}: {what}; {_advice(description, self._folder / LAST)}")
        return True

    def _of_first_broken(
        self, values: Mapping[str, float], description: str
    ) -> tuple[Mapping[str, float], str]:
        """Figures and batch of the first process whose own loss is not finite; else this one's."""
        own = (values, description)
        if math.isfinite(values["gradient"]):  # the others, whose gradient it is as well, go on
            return own
        mine = None if math.isfinite(values["loss"]) else own
        found = [self._fabric.broadcast(mine, rank) for rank in range(self._fabric.world_size)]
        return next(filter(None, found), own)

    def _evaluate(self) -> None:
        """Saves before, for an evaluation may break, and after, for it may have found the best."""
        with self._means.paused():
            if self._log is not None:
                self._state.save(self._done)
                figures = self._figures(self._log)
                self._state.save(self._done)
                if figures:
                    self._on_evaluation(self._done, figures)
            self._fabric.barrier()

    def _figures(self, log: Log) -> dict[str, float]:
        """Those of the average, which is kept where it is the best; empty with nothing to evaluate on."""
        figures = self._task.evaluate(self._ema.network)
        self._state.evaluated = self._done
        if not figures:
            return figures
        log.evaluation(self._done, figures)
        if figures[self._task.figure] >= self._state.best:
            self._state.best = figures[self._task.figure]
            self._save(self._ema.network, self._folder / BEST)
        return figures

    def _shipped(self) -> nn.Module:
        network, best = self._ema.network, self._folder / BEST
        if best.is_file():
            network.load_state_dict(read_checkpoint(best), strict=False)
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
