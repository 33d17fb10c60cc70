"""Which engines are there artifacts for, of which kinds and precisions?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rtmpose_sdk.errors import InputError


class Backend(NamedTuple):
    """Suffix of the artifact's main file, and its precisions, the usual one first."""

    suffix: str
    precisions: tuple[str, ...]


BACKENDS = {
    "onnx": Backend(".onnx", ("fp32", "fp16", "int8")),
    "openvino": Backend(".xml", ("fp16", "fp32", "int8")),
    "tensorrt": Backend(".engine", ("fp16", "fp32", "int8")),
    "torch": Backend(".pt2", ("fp32",)),
    "ncnn": Backend(".param", ("fp16", "fp32", "int8")),
}


def verification_device(artifact: Path) -> str:
    """Where an artifact is run to be verified: a TensorRT engine on the GPU, all else on the processor."""
    return "cuda" if artifact.suffix == BACKENDS["tensorrt"].suffix else "cpu"


def check_precision(backend: str, precision: str | None) -> str:
    """The precision that was asked for, or the usual one of the backend.

    Raises:
        InputError: the backend has no artifacts in it.
    """
    able = BACKENDS[backend].precisions
    if precision is None:
        return able[0]
    if precision not in able:
        raise InputError(f"--backend {backend} has no {precision}; expected one of {', '.join(able)}")
    return precision
