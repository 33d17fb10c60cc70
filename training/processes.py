"""Which processes train, and on what?"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.distributed import _destroy_dist_connection

from rtmpose_sdk.errors import TrainingError
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.training.config import RunConfig

_PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which alone asks a teacher, cuts crops and evaluates."""

_FIRST = "RTMPOSE_FIRST_PROCESS"
"""Tells the others its number."""
_LAST_WORDS = 5.0
"""Seconds that a process has for its end."""


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
        accelerator=config.device,
        devices=config.devices,
        precision=config.precision,
        strategy=strategy,
        plugins=[LightningEnvironment()],  # in a job of SLURM, too, each run starts its own processes
    )
    if config.devices > 1:
        if is_worker() and os.name == "posix":  # Gloo, which others have, tells itself
            first = int(os.environ.get(_FIRST, os.getppid()))
            threading.Thread(target=end_after, args=(first,), daemon=True).start()
        elif not is_worker():
            os.environ[_FIRST] = str(os.getpid())
        _name_archive()
        fabric.launch()
    return fabric


def _name_archive() -> None:
    """Fabric runs the command again, and of an archive (Windows' `rtmpose.exe`) it knows no name."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None and main.__spec__.name == "__main__":
        sys.argv[0] = str(Path(str(main.__file__)).parent)
        main.__spec__ = None


def end_after(first: int) -> None:
    """End this process once that one has ended, or has already: NCCL would wait for it for a day."""
    parent = os.getppid()
    try:
        while os.getppid() == parent:
            os.kill(first, 0)  # asks whether it is there
            time.sleep(1)
    except ProcessLookupError:
        pass
    os._exit(1)


@contextlib.contextmanager
def ending_together(fabric: Fabric) -> Iterator[None]:
    """An error of one process ends all: the others would wait for it, on GPUs for a day.

    Raises:
        TrainingError: another process had an error, and said it.
    """
    try:
        yield
    except BaseException as error:
        atexit.unregister(_destroy_dist_connection)  # waits for all as well, where it ends NCCL
        workers: list[subprocess.Popen[bytes]] = getattr(fabric.strategy.launcher, "procs", [])
        ended = workers.copy()
        workers.clear()  # Fabric watches them, and would kill this process before it has said why
        lost = isinstance(error, RuntimeError) and any(map(_has_failed, ended))
        for worker in ended:
            worker.kill()
        for worker in ended:
            worker.wait()
        if lost:
            raise TrainingError("another process of this run has ended; its error stands above") from None
        raise


def _has_failed(worker: subprocess.Popen[bytes]) -> bool:
    """True where it has ended, or just ends, with an error."""
    try:
        return worker.wait(timeout=_LAST_WORDS) != 0
    except subprocess.TimeoutExpired:
        return False


class Silent:
    """A `Progress` of processes beside the first: they say nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        """The items, without a bar."""
        return items

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        """Nothing."""
