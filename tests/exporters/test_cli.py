"""`rtmpose-export` as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rtmpose_sdk.exporters.cli import main
from rtmpose_sdk.models import build_model
from rtmpose_sdk.zoo import find_model

BIN = Path(sys.executable).parent


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "rtmpose-export", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
        env={"COLUMNS": "200", "PATH": "", "OMP_WAIT_POLICY": "PASSIVE"},
    )


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """refused(*arguments) → what the command says of its error, in this process."""

    def said(*arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["rtmpose-export", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 1
        return capsys.readouterr().err

    return said


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "t.pth"
    torch.save(build_model("rtmpose-t", keypoint_set="coco17").state_dict(), file)
    return file


def test_one_command(weights: Path, tmp_path: Path) -> None:
    done = run(
        "--backend",
        "onnx",
        "--model",
        "rtmpose-t",
        "--weights",
        weights,
        "--out",
        "t.onnx",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "rtmpose-t 192x256 coco17" in done.stdout
    assert "simcc_x: largest difference" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["t.onnx"]


def test_an_error_is_the_processs_exit_code(weights: Path, tmp_path: Path) -> None:
    done = run("--weights", weights, "--out", "t.onnx", "--model", "rtmpose-s", cwd=tmp_path)
    assert done.returncode == 1
    assert "expected 16x3x3x3" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "rtmpose-s"], "expected 16x3x3x3"),
        (["--model", "rtmpose-q"], "unknown network 'rtmpose-q'"),
        (["--keypoints", "halpe26"], "has 17 keypoints, but halpe26 has 26"),
        (["--input-size", "256"], "expected WIDTHxHEIGHT"),
        (["--input-size", "100x100"], "multiples of 32"),
        (["--model", "rtmdet-nano", "--keypoints", "coco17"], "takes no keypoint set"),
        (["--nms"], "--nms is for detectors"),
        (["--accuracy", "AP"], "expected NAME=VALUE"),
        (["--accuracy", "0.5"], "expected NAME=VALUE"),
        (["--out", "t.engine"], r"ends in .onnx"),
        (["--backend", "openvino"], r"ends in .xml (--backend openvino)"),
        (["--backend", "openvino", "--out", "t.xml", "--storage", "fp16"], "say --precision fp16"),
        (["--precision", "int8"], "--precision int8 and --calibrate go together"),
        (["--calibrate", "."], "--precision int8 and --calibrate go together"),
        (["--backend", "torch", "--out", "t.pt2", "--precision", "fp16"], "torch has no fp16; expected"),
        (["--target", "sm86"], "--target: for --backend tensorrt"),
        (
            ["--backend", "tensorrt", "--out", "t.engine", "--batch", "4:1"],
            "batch '4:1' is not",
        ),
        (["--precision", "int8", "--calibrate", "none"], "none: neither a folder nor a file"),
        (["--out", "no/t.onnx"], "folder does not exist"),
        (["--annotations", "a.json"], "needs --images"),
        (["--images", "none"], "none: not a folder"),
        (["--images", ".", "--annotations", "a.json"], "a.json: cannot be read"),
    ],
)
def test_wrong_calls_leave_nothing(
    weights: Path, tmp_path: Path, refused: Callable[..., str], arguments: list[str], message: str
) -> None:
    base = ["--weights", weights, *([] if "--out" in arguments else ["--out", "t.onnx"])]
    said = refused(*base, *arguments)
    assert message in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "tensor"], "keeps its input"),
        (["--license", "MIT"], "has a card already"),
        (["--notes", "mine"], "has a card already"),
        (["--accuracy", "AP=0.5"], "has a card already"),
    ],
)
def test_what_an_onnx_model_cannot_change(
    tmp_path: Path, refused: Callable[..., str], arguments: list[str], message: str
) -> None:
    assert message in refused("--weights", find_model("rtmpose-t-own"), "--out", "t.onnx", *arguments)
    assert list(tmp_path.iterdir()) == []
