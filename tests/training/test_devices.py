"""A GPU that cannot be had, or is full, is an error that says what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rtmpose_sdk.errors import DeviceError
from rtmpose_sdk.training import run, tasks
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.devices import check_device
from rtmpose_sdk.training.processes import Silent


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says where there is one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])


def _config(kites: Path, **options: Any) -> RunConfig:
    return RunConfig(
        *("pose", "rtmpose-t", (str(kites),), (str(kites.parent / "images"),)),
        **{"input_size": (64, 64), "batch": 8, "epochs": 1} | options,
    )


@pytest.mark.usefixtures("one_gpu")
def test_more_gpus_than_there_are(kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    config = _config(kites, device="cuda", devices=2)
    with pytest.raises(
        DeviceError, match=r"torch sees 1 \(CUDA_VISIBLE_DEVICES is '3'\); begin a run with --devices 1"
    ):
        run.start(config, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_that_torch_has_no_kernels_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nFor debugging ...")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(DeviceError, match=r"no kernel image .* execution\. .* for sm_75, sm_80"):
        check_device("cuda", "32-true")


@pytest.mark.parametrize(
    ("built", "expected"), [(None, "is a build for CPUs"), ("12.6", "new enough for CUDA 12.6")]
)
def test_no_gpu_says_what_to_look_at(
    built: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(DeviceError, match=expected):
        check_device("cuda", "32-true")


def test_full_memory_says_what_to_do(kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of "
            "which 1.03 GiB is free. Of the allocated memory 5 GiB is allocated by PyTorch."
        )

    monkeypatch.setattr(run, "run_training", full)
    with pytest.raises(DeviceError) as error:
        run.start(_config(kites), tmp_path / "run", Silent())
    said = str(error.value)
    assert "which 1.03 GiB is free. Begin again with a smaller --batch than 8, or" in said
    assert f"go on with: rtmpose train --resume {tmp_path / 'run'}" in said


def test_what_an_earlier_stage_left_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(free=2, kept=6)

    def empty() -> None:
        gpu.free, gpu.kept = gpu.free + gpu.kept, 0

    monkeypatch.setattr(torch.cuda, "empty_cache", empty)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (gpu.free, 10))
    assert tasks._free_memory(torch.device("cuda", 0)) == 8
