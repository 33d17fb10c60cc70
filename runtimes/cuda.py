"""Which binding gives CUDA's memory here: `cuda-python`, or `pycuda` where only that is there."""

from __future__ import annotations

import importlib

from rtmpose_sdk.errors import MissingExtraError
from rtmpose_sdk.runtimes.cuda_memory import CudaMemory
from rtmpose_sdk.runtimes.cuda_pycuda import PyCuda
from rtmpose_sdk.runtimes.cuda_python import CudaPython


def open_cuda(number: int, extra: str) -> CudaMemory:
    """Memory on the device with this number.

    Args:
        number: of the device, from 0.
        extra: what to install when there is no binding.

    Raises:
        MissingExtraError: neither binding is installed.
        DeviceError: no such device, no driver, or one that is too old.
    """
    for package, kind in (("cuda.bindings.runtime", CudaPython), ("pycuda.driver", PyCuda)):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        return kind(module, number)
    raise MissingExtraError("cuda-python", extra, "Running a TensorRT engine")
