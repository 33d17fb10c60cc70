"""Are the numbers of a run's configuration such that it can learn?"""

from __future__ import annotations

import math
from typing import Any

from rtmpose_sdk.errors import InputError

_POSITIVE = ("epochs", "rate", "clip_norm", "temperature", "evaluate_epochs")
_NOT_NEGATIVE = (
    *("weak_epochs", "pretrain_epochs", "warmup", "weight_decay"),
    *("heatmap_weight", "rotation", "shift", "freeze", "seed"),
)
_PARTS = ("ema_decay", "teacher_confidence", "half_body", "cutout", "mosaic", "mixup")
_COUNTS = ("batch", "devices", "save_steps", "kernel_size")
_LARGEST_SEED = 2**63 - 1
"""Of torch's generator."""


def check_numbers(config: Any) -> None:
    """Look at every number of a `RunConfig`.

    Raises:
        InputError: one is out of its range, or not finite.
    """
    for names, expected, lowest, highest in (
        (_POSITIVE, "a positive number", math.ulp(0.0), math.inf),
        (_NOT_NEGATIVE, "0 or more", 0, math.inf),
        (_PARTS, "a number from 0 to 1", 0, 1),
        (_COUNTS, "1 or more", 1, math.inf),
        (("seed",), f"at most {_LARGEST_SEED}", 0, _LARGEST_SEED),
    ):
        for name in names:
            value = getattr(config, name)
            if value is None:
                continue
            if not (math.isfinite(value) and lowest <= value <= highest):
                raise InputError(f"{_option(name)} is {value:g}; expected {expected}")
    low, high = config.scale
    if not 0 < low <= high < math.inf:
        raise InputError(f"--scale is {low:g} {high:g}; expected two positive numbers, the lower one first")
    if config.batch % config.devices:
        raise InputError(
            f"--batch is {config.batch}, of all devices together, and --devices {config.devices}; expected "
            "a batch that they can share equally: a multiple of --devices"
        )


def _option(name: str) -> str:
    """As `rtmpose train` calls it."""
    return "--ema" if name == "ema_decay" else f"--{name.replace('_', '-')}"
