"""Several processes: how they are started, and that none is left behind."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies.launchers.subprocess_script import _basic_subprocess_cmd

from rtmpose_sdk.errors import DataError, TrainingError
from rtmpose_sdk.training import processes, run
from rtmpose_sdk.training.config import RunConfig

CONFIG = RunConfig("pose", "rtmpose-t", (), (), devices=2)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Fabric]:
    """What would have started its processes."""
    found: list[Fabric] = []
    monkeypatch.setenv("RTMPOSE_FIRST_PROCESS", "")  # comes back as it was
    monkeypatch.setattr(Fabric, "launch", lambda self: found.append(self))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr("cv2.setNumThreads", lambda _: None)
    return found


def test_a_job_of_slurm_starts_its_own_processes(
    launched: list[Fabric], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "NTASKS": "1",
        "JOB_NAME": "train",
        "PROCID": "0",
        "LOCALID": "0",
        "NODEID": "0",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    processes.start_processes(CONFIG)
    environment = launched[0].strategy.cluster_environment
    assert isinstance(environment, LightningEnvironment)
    assert not environment.creates_processes_externally


@pytest.mark.usefixtures("launched")
def test_an_archive_is_started_again_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rtmpose.exe` of Windows is one, and takes its ending from the command line."""
    main = ModuleType("__main__")
    main.__spec__, main.__file__ = ModuleSpec("__main__", None), str(tmp_path / "rtmpose.exe/__main__.py")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "rtmpose"), "train", "pose"])
    processes.start_processes(CONFIG)
    expected = [sys.executable, str(tmp_path / "rtmpose.exe"), "train", "pose"]
    assert list(_basic_subprocess_cmd()) == expected


def test_an_error_of_the_first_process_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise DataError("a picture is missing")

    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) as worker:
        watched = [worker]
        launcher = SimpleNamespace(procs=watched)
        fabric = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher), is_global_zero=True)
        monkeypatch.setattr(run, "start_processes", lambda _: fabric)
        monkeypatch.setattr(run, "read_keypoint_set", breaks)
        try:
            with pytest.raises(DataError):
                run._run(CONFIG, tmp_path, processes.Silent())
            assert worker.poll() is not None
        finally:
            worker.kill()
    assert not watched  # Fabric kills the first process where one that it watches was killed


def test_what_another_process_said_is_not_buried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gloo tells the first process of the end of another one with a traceback of its own."""

    def lost(*_: object) -> None:
        raise RuntimeError("Connection closed by peer")

    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]) as worker:
        launcher = SimpleNamespace(procs=[worker])
        fabric = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher), is_global_zero=True)
        monkeypatch.setattr(run, "start_processes", lambda _: fabric)
        monkeypatch.setattr(run, "read_keypoint_set", lost)
        with pytest.raises(TrainingError, match="another process of this run has ended"):
            run._run(CONFIG, tmp_path, processes.Silent())


@pytest.mark.parametrize(("parents", "there"), [([7, 7, 1], True), ([1, 1], False)])
def test_a_worker_ends_after_the_first_process(
    parents: list[int], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(code: int) -> None:
        raise SystemExit(code)

    def ask(process: int, number: int) -> None:
        assert (process, number) == (7, 0)
        if not there:
            raise ProcessLookupError

    following = iter(parents)
    monkeypatch.setattr(os, "getppid", lambda: next(following))
    monkeypatch.setattr(os, "kill", ask)
    monkeypatch.setattr(os, "_exit", left)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(SystemExit):
        processes.end_after(7)


@pytest.mark.skipif(sys.platform == "win32", reason="Gloo tells itself")
@pytest.mark.usefixtures("launched")
def test_a_worker_knows_a_first_process_that_has_ended_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for it where all meet, for a day."""
    watched: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(processes, "end_after", watched.put)
    processes.start_processes(CONFIG)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(os, "getppid", lambda: 1)
    processes.start_processes(CONFIG)
    assert watched.get(timeout=60) == os.getpid()
    assert watched.empty()
