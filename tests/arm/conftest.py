"""An ARM computer in a folder, run by QEMU: `make test-arm` sets it up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rtmpose_sdk
import rtmpose_sdk.runtimes

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("RTMPOSE_ARM_ROOT", HERE.parents[1] / "build" / "arm"))
Outputs = dict[str, np.ndarray]
Run = Callable[..., Outputs]


@pytest.fixture(scope="session")
def run_on_arm(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """(artifact, tensors, precision) → the artifact's outputs by name, computed on ARM."""
    if not (ROOT / "ready").is_file():
        pytest.skip(f"no ARM computer in {ROOT}; `make test-arm` sets it up")
    folder = tmp_path_factory.mktemp("arm")
    sdk = folder / "site" / "rtmpose_sdk"
    ignored = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(Path(rtmpose_sdk.__file__).parent, sdk, ignore=ignored)
    shutil.copytree(
        Path(rtmpose_sdk.runtimes.__file__).parent, sdk / "runtimes", ignore=ignored, dirs_exist_ok=True
    )
    shutil.copytree(Path(rtmpose_sdk.__file__).parent / "data", sdk / "data")

    def run(artifact: Path, tensors: np.ndarray, precision: str = "") -> Outputs:
        np.save(folder / "tensors.npy", tensors)
        outputs = folder / "outputs.npz"
        outputs.unlink(missing_ok=True)
        done = subprocess.run(
            [
                ROOT / "root/usr/bin/qemu-aarch64-static",
                *("-cpu", "max", "-L", ROOT / "root"),
                *("-E", f"PYTHONPATH={sdk.parent}:{ROOT / 'wheels'}", "-E", "PYTHONDONTWRITEBYTECODE=1"),
                *("-E", "PYTHONNOUSERSITE=1", "-E", f"PYTHONHOME={ROOT / 'root/usr'}"),
                ROOT / "root/usr/bin/python3.11",
                *(HERE / "worker.py", artifact, precision, folder / "tensors.npy", outputs),
            ],
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])
        print(done.stdout.strip())  # noqa: T201 - pytest -rP shows it
        with np.load(outputs) as content:
            return dict(content)

    return run
