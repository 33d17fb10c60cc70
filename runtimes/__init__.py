"""One engine, one file; which one is decided by the artifact's kind."""

from __future__ import annotations

from pathlib import Path

from rtmpose_sdk.errors import ModelFileError
from rtmpose_sdk.runtimes.base import Device, Runtime, TensorSpec, allowed_cores, parse_device

__all__ = ["Device", "Runtime", "TensorSpec", "allowed_cores", "open_runtime", "parse_device"]


def open_runtime(
    path: str | Path,
    device: str = "cpu",
    threads: int | None = None,
    precision: str | None = None,
) -> Runtime:
    """Load a model file with the engine that its kind asks for.

    Args:
        path: the model file; `.onnx` goes to ONNX Runtime, `.xml` to OpenVINO.
        device: "cpu", "cuda", "cuda:1", "coreml", "dml", ...
        threads: threads of one run; None means every core that the process may use.
        precision: None means what the artifact holds.

    Raises:
        ModelFileError: no such file, or not a model of a known kind.
        DeviceError: the device or precision cannot be had.
        MissingExtraError: the engine is not installed.
    """
    file = Path(path)
    if file.suffix.lower() == ".onnx":
        from rtmpose_sdk.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(file, device, threads, precision)
    if file.suffix.lower() == ".xml":
        from rtmpose_sdk.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(file, device, threads, precision)
    raise ModelFileError(
        f"{file}: no engine for files of kind '{file.suffix or 'without suffix'}'; expected .onnx or .xml "
        "(OpenVINO). A checkpoint (.pth) is exported first: rtmpose-export --help"
    )
