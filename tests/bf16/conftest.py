"""A computer with AVX-512, emulated: `make test-bf16` sets it up."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rtmpose_sdk
import rtmpose_sdk.runtimes

sys.path.insert(0, str(Path(__file__).parent))

from avx512_computer import lay_out, run

Outputs = list[np.ndarray]
Run = Callable[[Path, np.ndarray], tuple[str, Outputs]]


@pytest.fixture(scope="session")
def run_in_bf16(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """(`.onnx`, tensors (N,...)) → arithmetic, and the outputs, float32 (N,values)."""
    kernel = os.environ.get("RTMPOSE_BF16_KERNEL")
    if not kernel:
        pytest.skip("no kernel to boot; `make test-bf16` brings one")
    folder = tmp_path_factory.mktemp("bf16")
    root = folder / "root"
    lay_out(root, Path(rtmpose_sdk.__file__).parent, Path(rtmpose_sdk.runtimes.__file__).parent)

    def compute(artifact: Path, tensors: np.ndarray) -> tuple[str, Outputs]:
        shutil.copy(artifact, root / "job")
        np.save(root / "job/tensors.npy", tensors)
        rows: list[list[np.ndarray]] = []
        said = run(folder / "computer", root, Path(kernel), (f"/job/{artifact.name}", "/job/tensors.npy"))
        arithmetic = next(said)
        for line in said:
            if line != "done":
                _, *values = line.split()
                rows.append([np.frombuffer(base64.b64decode(value), np.float32) for value in values])
        return arithmetic, [np.stack(values) for values in zip(*rows, strict=True)]

    return compute
