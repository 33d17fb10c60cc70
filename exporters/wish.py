"""What kind of artifact does the user want?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.exporters.int8 import Scheme
from rtmpose_sdk.runtimes.tensorrt_module import Flavour

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Wish:
    """What kind of artifact is wanted.

    Attributes:
        backend: a key of `BACKENDS`.
        precision: None is the backend's usual one.
        half_storage: ONNX: weights stored as fp16, arithmetic in fp32.
        calibration: int8: (N,h,w,3) uint8 BGR of the card's input size.
        weight_bits: int8 for ONNX Runtime and OpenVINO: 8 or 7, see `Scheme`.
        batch, targets, timing_cache, flavour: TensorRT, see `write_tensorrt`.
    """

    backend: str = "onnx"
    precision: str | None = None
    half_storage: bool = False
    calibration: Images | None = None
    batch: tuple[int, int, int] | None = None
    targets: tuple[str, ...] = ()
    timing_cache: Path | None = None
    flavour: Flavour | None = None
    weight_bits: int = 8

    @property
    def scheme(self) -> Scheme:
        """How numbers become int8."""
        return Scheme(self.backend == "tensorrt", self.weight_bits)
