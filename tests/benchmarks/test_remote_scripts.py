"""Commands on another machine: their number is there as long as they run, and no longer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtmpose_sdk.benchmarks.remote.scripts import PID_FILE, remove, run_in

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs sh")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "it's here").mkdir()
    return made


@pytest.mark.parametrize(
    ("command", "status"), [("true", 0), ("sh -c 'exit 3'", 3), ("sh -c 'kill -9 $$'", 137)]
)
def test_a_command_that_ended_leaves_its_status_and_no_number(
    folder: Path, command: str, status: int
) -> None:
    """Its number may be somebody else's by the time that the folder is removed."""
    done = subprocess.run(["sh", "-c", run_in(str(folder), command)], check=False)
    assert done.returncode == status
    assert list(folder.iterdir()) == []


def test_nothing_is_removed_where_the_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / PID_FILE).touch()
    done = subprocess.run(["sh", "-c", run_in(str(tmp_path / "no"), "true")], cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert (tmp_path / PID_FILE).exists()


def test_a_folder_goes_with_the_command_that_runs_in_it(folder: Path) -> None:
    running = subprocess.Popen(["sh", "-c", run_in(str(folder), "sleep 60")])
    end = time.monotonic() + 30
    while not ((folder / PID_FILE).is_file() and (folder / PID_FILE).read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    subprocess.run(["sh", "-c", remove(str(folder))], check=True)
    assert running.wait(30) == 137
    assert not folder.exists()
