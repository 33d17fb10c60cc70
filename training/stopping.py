"""How does a signal stop a run?"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor


@contextmanager
def interruptible(fabric: Fabric) -> Iterator[Callable[[], bool]]:
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
