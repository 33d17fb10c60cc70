"""What kind of artifact is to be made?"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from rtmpose_sdk.exporters.crops import Images
from rtmpose_sdk.exporters.int8 import Scheme
from rtmpose_sdk.runtimes.tensorrt_module import Flavour


@dataclass(frozen=True)
class ExportSettings:
    """What kind of artifact is to be made.

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
    _: KW_ONLY
    half_storage: bool = False
    calibration: Images | None = None
    weight_bits: int = 8
    batch: tuple[int, int, int] | None = None
    targets: tuple[str, ...] = ()
    timing_cache: Path | None = None
    flavour: Flavour | None = None

    @property
    def scheme(self) -> Scheme:
        """How numbers become int8."""
        return Scheme(symmetric=self.backend == "tensorrt", weight_bits=self.weight_bits)
