"""Which processes train, and on what?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.config import RunConfig

_PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which alone asks a teacher, cuts crops and evaluates."""


def is_worker() -> bool:
    """True in the processes that the first one starts."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def start_processes(config: RunConfig) -> Fabric:
    """Devices and precision of a run; of several devices, each has a process from here on."""
    if config.device == "cpu":
        torch.set_num_threads(max(allowed_cores() // config.devices, 1))
        cv2.setNumThreads(torch.get_num_threads())
    strategy: DDPStrategy | str = "auto"
    if config.devices > 1:
        # Fabric takes NCCL for GPUs, which torch has on Linux only.
        backend = None if torch.distributed.is_nccl_available() else "gloo"
        strategy = DDPStrategy(process_group_backend=backend, timeout=_PATIENCE)
    fabric = Fabric(
        accelerator=config.device, devices=config.devices, precision=config.precision, strategy=strategy
    )
    if config.devices > 1:
        fabric.launch()
    return fabric


class Silent:
    """A `Progress` of processes beside the first: they say nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        """The items, without a bar."""
        return items

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        """Nothing."""
