"""What does a run keep, so that it can be resumed and its weights shipped?"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import Precision
from torch import nn

from rtmpose_sdk.errors import OutputError, TrainingError
from rtmpose_sdk.locks import rename
from rtmpose_sdk.models.checkpoint import NOTE
from rtmpose_sdk.training.optimizer import Ema


class State:
    """Everything that resuming needs.

    Args:
        network, optimizer, ema: what learns.
        precision: Fabric's; it holds the scale of the loss in fp16.
        file: where it is kept.

    Attributes:
        best: figure of the best evaluation.
        evaluated: step of the last evaluation.
        skipped: fp16 steps in a row, up to now, whose gradients overflowed.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: Ema,
        precision: Precision,
        file: Path,
    ) -> None:
        self.network, self.optimizer, self.ema, self.file = network, optimizer, ema, file
        self._precision = precision
        self.best = -math.inf
        self.evaluated = self.skipped = 0

    def save(self, step: int) -> None:
        """Keep it, after so many steps."""
        write_whole(
            {
                "step": step,
                "best": self.best,
                "evaluated": self.evaluated,
                "skipped": self.skipped,
                "precision": self._precision.state_dict(),
                "network": self.network.state_dict(),
                "ema": self.ema.network.state_dict(),
                "ema_steps": self.ema.steps,
                "optimizer": self.optimizer.state_dict(),
            },
            self.file,
        )

    def load(self) -> int:
        """Steps that were done.

        Raises:
            TrainingError: not what this run wrote.
        """
        try:
            # To the CPU: what belongs on a device is copied there, and AdamW's counts of steps do not.
            content = torch.load(self.file, map_location="cpu", weights_only=True)
            self.network.load_state_dict(content["network"])
            self.ema.network.load_state_dict(content["ema"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.best, self.ema.steps = content["best"], content["ema_steps"]
            step = int(content["step"])
            # Before 0.1.0's release a state was saved after its evaluation, without these.
            self.evaluated, self.skipped = content.get("evaluated", step), content.get("skipped", 0)
            if content.get("precision"):
                self._precision.load_state_dict(content["precision"])
            return step
        except Exception as error:  # noqa: BLE001 - a damaged file makes the unpickler raise anything
            raise TrainingError(
                f"{self.file}: cannot be resumed from ({error!s:.300}); start the run again in a new "
                "folder, with --init for the weights that there are"
            ) from None


def save_weights(
    network: nn.Module, file: Path, leave_out: str | None = None, note: Mapping[str, Any] | None = None
) -> None:
    """A state dict, in the published layout, under its final name only when it is whole.

    Args:
        network: whose.
        file: where.
        leave_out: beginning of the names that are left out.
        note: what `read_noted` is to find; None writes a bare state dict.
    """
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    if leave_out is not None:
        state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
    write_whole(state if note is None else {"state_dict": state, NOTE: dict(note)}, file)


def write_whole(content: Mapping[str, Any], file: Path) -> None:
    """By `torch.save`, under its final name only when it is whole.

    Raises:
        OutputError: it cannot be written; what was there before still is.
    """
    part = file.with_name(file.name + ".part")
    try:
        torch.save(content, part)
        rename(part, file)
    except (OSError, RuntimeError) as error:  # torch's writer says "unexpected pos" of a full disk
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutputError(
            f"{file}: cannot be written ({reason!s:.200}); is the disk full? Make room, and resume the run"
        ) from None
