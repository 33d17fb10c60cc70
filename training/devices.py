"""Can this machine train on the device and in the precision that were asked for?"""

from __future__ import annotations

import torch

from rtmpose_sdk.errors import DeviceError


def check_device(device: str, precision: str) -> None:
    """Nothing falls back quietly.

    Args:
        device: "cpu" or "cuda".
        precision: as a run's configuration has it.

    Raises:
        DeviceError: torch sees no GPU, or fp16 on a CPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device 'cuda' was asked for, but torch sees no GPU; install the torch build for CUDA, or take "
            "--device cpu"
        )
    if device == "cpu" and precision == "16-mixed":
        raise DeviceError(
            "precision 'fp16' was asked for on a CPU, which trains in fp32 or bf16; take --precision fp32, "
            "or --precision bf16 where the processor has bf16 instructions, or --device cuda"
        )
