"""Can this machine train on the devices and in the precision that were asked for?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from rtmpose_sdk.errors import DeviceError
from rtmpose_sdk.training.config import RunConfig

_SHOWN = 300
"""Characters of torch's own words."""


def check_device(device: str, precision: str, devices: int = 1) -> None:
    """Nothing falls back quietly.

    Args:
        device: "cpu" or "cuda".
        precision: as a run's configuration has it.
        devices: how many.

    Raises:
        DeviceError: torch sees no GPU, fewer than that, or one that it cannot use; or fp16 on a CPU.
    """
    if device == "cuda":
        _check_gpus(devices)
    elif precision == "16-mixed":
        raise DeviceError(
            "precision 'fp16' was asked for on a CPU, which trains in fp32 or bf16; take --precision fp32, "
            "or --precision bf16 where the processor has bf16 instructions, or --device cuda"
        )


def _check_gpus(devices: int) -> None:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is '{visible}')"
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = (
            f"look at what nvidia-smi says, and for a driver that is new enough for CUDA {built}"
            if built
            else f"torch {torch.__version__} is a build for CPUs; install the one for CUDA"
        )
        raise DeviceError(
            f"device 'cuda' was asked for, but torch sees no GPU{hidden}: {why}; or begin a run with "
            "--device cpu"
        )
    count = torch.cuda.device_count()
    if count < devices:
        raise DeviceError(
            f"--devices {devices} was asked for, but torch sees {count}{hidden}; begin a run with "
            f"--devices {count}"
        )
    try:
        torch.ones(1, device="cuda").sum().item()
    except RuntimeError as error:  # no kernels for its architecture, full memory, another's alone
        raise DeviceError(
            f"torch {torch.__version__} cannot compute on the GPU: {_one_line(error)}. Where something "
            "else uses it (nvidia-smi), end that; where torch has no kernels for it, install a build that "
            f"has: this one's are for {', '.join(torch.cuda.get_arch_list())}"
        ) from None


@contextlib.contextmanager
def enough_memory(config: RunConfig, folder: Path) -> Iterator[None]:
    """A GPU whose memory is full is an error that says what to do.

    Raises:
        DeviceError: so.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"a GPU's memory is full: {_one_line(error)} Begin again with a smaller --batch than "
            f"{config.batch}, or with --precision bf16 or fp16; or end what else uses the GPU (nvidia-smi) "
            f"and go on with: rtmpose train --resume {folder}"
        ) from None


def _one_line(error: Exception) -> str:
    """Torch's words, without its advice for programmers."""
    return " ".join(str(error).split(" Of the allocated")[0].split("\n")[0].split())[:_SHOWN]
