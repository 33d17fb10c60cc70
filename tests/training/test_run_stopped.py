"""A run that was killed, interrupted or broke while it exported: what is said, and how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer
from rich.console import Console

from rtmpose_sdk.cli.train_run import Shown, finish
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.network import open_checkpoint
from rtmpose_sdk.exporters.thaw import network_from_artifact
from rtmpose_sdk.models import read_checkpoint

from .conftest import COMMAND, SMALL, _rtmpose


def test_a_run_that_is_killed_hard_resumes_to_the_same_weights(kites: Path, tmp_path: Path) -> None:
    options = ["--data", kites, "--epochs", 5, "--pretrain-epochs", 0, "--rate", 1e-3, *SMALL]
    options += ["--optimizer", "muon"]  # AdamW is a part of it
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def alone(command: list[str], *words: object) -> None:
        """In a process of its own, as a user's: bits may depend on what ran in a process before."""
        subprocess.run([*command, *map(str, words)], check=True, capture_output=True)

    # Of the whole run only the weights are looked at; the other one exports.
    no_export = (
        "from rtmpose_sdk.training import run; run.export_artifact = lambda *_: None; "
        "from rtmpose_sdk.cli.main import main; main()"
    )
    alone([sys.executable, "-c", no_export], "train", "pose", *options, "--out", whole)
    process = subprocess.Popen(
        [*COMMAND, "train", "pose", *map(str, options), "--out", str(cut)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (cut / "last.pt").is_file() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    done_before = torch.load(cut / "last.pt", weights_only=True)["step"]
    assert done_before < 15
    alone(COMMAND, "train", "--resume", cut)
    assert (cut / "rtmpose-t.onnx").is_file()
    first, second = (read_checkpoint(f / "weights.pth") for f in (whole, cut))
    for name, value in first.items():
        assert torch.equal(value, second[name]), f"{name} differs; killed after step {done_before}"


@pytest.mark.parametrize("begun", [False, True])
def test_an_interruption_says_what_there_is(
    begun: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    if begun:
        (tmp_path / "config.json").touch()
    with pytest.raises(typer.Exit) as stopped:
        finish(interrupted, tmp_path)
    assert stopped.value.exit_code == 130
    said = capsys.readouterr().err
    assert ("go on with: rtmpose train --resume" in said) is begun
    assert ("nothing was begun" in said) is not begun


def test_of_several_processes_one_speaks_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    terminal = Console(force_terminal=True)
    assert not Shown(terminal).bars.disable
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Shown(terminal).bars.disable
    with pytest.raises(typer.Exit):
        finish(interrupted, tmp_path)
    assert capsys.readouterr().err == ""


def test_a_run_whose_steps_are_done_exports_with_mended_data(
    kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(kites.read_text())
    content["annotations"][3]["bbox"] = [500, 10, 20, 20]
    data = tmp_path / "data.json"
    data.write_text(json.dumps(content))
    run = tmp_path / "run"

    def breaks(*_: object) -> None:
        raise InputError("an export that breaks")

    with monkeypatch.context() as patched:
        patched.setattr("rtmpose_sdk.training.run.export_artifact", breaks)
        done = _rtmpose(
            *("train", "pose", "--data", data, "--images", kites.parent / "images", "--out", run),
            *("--val-data", kites, "--epochs", 1, "--pretrain-epochs", 0, "--heatmap-weight", 1, *SMALL),
            ok=False,
        )
    assert "an export that breaks" in done.stderr
    weights = (run / "weights.pth").read_bytes()
    data.write_text(kites.read_text())
    _rtmpose("train", "--resume", run)
    assert (run / "weights.pth").read_bytes() == weights
    assert not list(run.glob("*.u8*"))
    back = network_from_artifact(run / "rtmpose-t.onnx")
    x = torch.zeros(1, 3, 64, 64)
    for name in ("weights.pth", "best.pth"):
        network, _ = open_checkpoint(run / name)
        with torch.no_grad():
            assert torch.allclose(network(x)[0], back(x)[0], atol=1e-3)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupted_run_says_how_to_go_on(kites: Path, tmp_path: Path) -> None:
    arguments = ["train", "pose", "--data", kites, "--out", "run", "--pretrain-epochs", 0, *SMALL]
    limit = time.monotonic() + 120
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=tmp_path, stderr=errors) as process,
    ):
        try:
            while not (tmp_path / "run" / "last.pt").is_file():
                assert process.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.02)
            process.terminate()
            assert process.wait(timeout=120) == 130
        finally:
            process.kill()
    assert "go on with: rtmpose train --resume run" in (tmp_path / "errors").read_text()
