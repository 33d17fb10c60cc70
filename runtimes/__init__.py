"""One engine, one file; which one is decided by the artifact's kind."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from rtmpose_sdk.errors import InputError, ModelFileError
from rtmpose_sdk.runtimes.base import (
    Array,
    Device,
    Runtime,
    TensorSpec,
    allowed_cores,
    check_threads,
    parse_device,
)

__all__ = [
    "ENGINES",
    "Array",
    "Device",
    "Runtime",
    "TensorSpec",
    "allowed_cores",
    "check_threads",
    "open_runtime",
    "parse_device",
]

ENGINES = {
    "onnxruntime": ("onnxruntime", "OnnxRuntime"),
    "openvino": ("openvino", "OpenVinoRuntime"),
    "torch": ("torch", "TorchRuntime"),
    "ncnn": ("ncnn", "NcnnRuntime"),
    "tensorrt": ("tensorrt", "TensorRtRuntime"),
}
"""Engine → module of this room, and class."""
_BY_SUFFIX = {
    ".onnx": ("onnxruntime", "openvino"),
    ".xml": ("openvino",),
    ".pt2": ("torch",),
    ".param": ("ncnn",),
    ".engine": ("tensorrt",),
}
"""Kind of file → engines that read it; the first one does unless another is asked for."""


def open_runtime(
    path: str | Path,
    device: str = "cpu",
    *,
    threads: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> Runtime:
    """Load a model file with the engine that its kind asks for.

    Args:
        path: the model file; `.onnx` goes to ONNX Runtime, `.xml` to OpenVINO, `.pt2` to PyTorch,
            `.param` to ncnn.
        device: "cpu", "cuda", "cuda:1", "coreml", "dml", "gpu" (OpenVINO), ...
        threads: threads of one run; None means every core that the process may use.
        precision: arithmetic; None means what the artifact holds (fp32 where that leaves a choice).
        engine: another engine that reads files of this kind: "openvino" for `.onnx`.

    Raises:
        ModelFileError: no such file, or not a model of a known kind.
        InputError: an engine that does not read files of this kind.
        DeviceError: the device or precision cannot be had.
        MissingExtraError: the engine is not installed.
    """
    file = Path(path)
    able = _BY_SUFFIX.get(file.suffix.lower())
    if able is None:
        raise ModelFileError(
            f"{file}: no engine for files of kind '{file.suffix or 'without suffix'}'; expected one of "
            f"{', '.join(_BY_SUFFIX)}. A checkpoint (.pth) is exported first: rtmpose-export --help"
        )
    chosen = engine or able[0]
    if chosen not in able:
        raise InputError(f"engine '{chosen}' does not read {file.name}; expected {' or '.join(able)}")
    module, name = ENGINES[chosen]
    runtime: type[Runtime] = getattr(import_module(f"rtmpose_sdk.runtimes.{module}"), name)
    return runtime(file, device, threads=threads, precision=precision)
