"""What does a run settle by itself where nobody said it?"""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from rtmpose_sdk.models import build_model
from rtmpose_sdk.training import processes
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.initialize import load_what_fits
from rtmpose_sdk.training.persons import read_keypoint_set
from rtmpose_sdk.training.pretraining import pretraining
from rtmpose_sdk.training.tasks import build_network, detector_task

from .conftest import SMALL, _rtmpose


@pytest.mark.parametrize(("has_nccl", "backend"), [(True, "nccl"), (False, "gloo")])
def test_gpus_without_nccl_speak_gloo(
    has_nccl: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategies: list[DDPStrategy] = []

    def fabric(strategy: DDPStrategy, **_: object) -> MagicMock:
        strategies.append(strategy)
        return MagicMock()

    monkeypatch.setattr(processes, "Fabric", fabric)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: has_nccl)
    processes.start_processes(RunConfig("pose", "rtmpose-t", (), (), device="cuda", devices=2))
    strategies[0].parallel_devices = [torch.device("cuda", 0)]
    strategies[0].cluster_environment = LightningEnvironment()
    assert strategies[0]._get_process_group_backend() == backend


def test_the_default_rate_is_frozen_when_a_run_begins(
    kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpose_sdk.training.run._run", lambda config, folder, progress: folder)
    _rtmpose("train", "pose", "--data", kites, "--out", tmp_path / "run", *SMALL)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["rate"] == 4e-3 * 8 / 1024
    _rtmpose("train", "pose", "--data", kites, "--out", tmp_path / "other", "--rate", 2e-3, *SMALL)
    assert json.loads((tmp_path / "other" / "config.json").read_text())["rate"] == 2e-3


def test_rtmw_is_pretrained_in_rtmpose_clothes(
    kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole backbone of the one fits the other."""
    begun: list[RunConfig] = []
    monkeypatch.setattr(
        "rtmpose_sdk.training.run._run", lambda config, *_: begun.append(config) or tmp_path
    )
    _rtmpose("train", "pose", "--data", kites, "--out", tmp_path / "run", "--model", "rtmw-m", *SMALL)
    config, keypoint_set = begun[0], read_keypoint_set(begun[0].sources)
    assert config.pretrain_epochs > 0
    first = build_network(pretraining(config), keypoint_set)
    torch.save(first.state_dict(), tmp_path / "weights.pth")
    loaded = load_what_fits(build_network(config, keypoint_set), tmp_path / "weights.pth", True)
    assert len(loaded.loaded) > 100
    assert not loaded.other_shape
    assert not [name for name in loaded.missing if name.startswith("backbone.")]


@pytest.mark.parametrize(
    ("arguments", "weak"),
    [
        (["pose"], 30),
        (["pose", "--epochs", 420], 30),
        (["pose", "--epochs", 21], 3),
        (["pose", "--epochs", 21, "--weak-epochs", 20], 20),
        (["pose", "--epochs", 21, "--weak-epochs", 30], 21),
        (["detector"], 20),
        (["detector", "--epochs", 15], 1),
    ],
)
def test_a_short_run_has_the_same_part_of_weak_epochs(
    arguments: list[object], weak: float, kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpose_sdk.training.run._run", lambda config, folder, progress: folder)
    _rtmpose("train", *arguments, "--data", kites, "--out", tmp_path / "run", *SMALL)
    assert RunConfig.load(tmp_path / "run").weak_epochs == pytest.approx(weak)


def test_the_weak_stage_of_a_detector_keeps_its_scale(kites: Path) -> None:
    config = RunConfig(
        *("detector", "rtmdet-nano", (str(kites),), (str(kites.parent / "images"),)),
        **{"input_size": (64, 64), "batch": 8, "epochs": 10, "weak_epochs": 10, "scale": (1.0, 1.0)},
    )
    task, _ = detector_task(config, build_model("rtmdet-nano", input_size=(64, 64)))
    batch = task.batch(0, 0, 1)
    for number, boxes in zip(batch.index, batch.boxes, strict=True):
        wanted = task.pictures.boxes[number] * np.float32(64 / 120)
        sides = [b[:, 2:] - b[:, :2] for b in (wanted, boxes)]
        np.testing.assert_allclose(sides[1], sides[0], rtol=1e-4)
