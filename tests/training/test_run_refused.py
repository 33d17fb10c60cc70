"""What cannot be trained says why: options, data, weights of another model, a folder in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rtmpose_sdk.models import build_model
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.lock import locked

from .conftest import SMALL, _rtmpose


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pose"], "expected: rtmpose train pose --data"),
        (["--resume", "nowhere"], "not a training run"),
        (["--resume", "nowhere", "--epochs", 3], "--epochs: --resume takes it from the run's folder"),
        (["detector", "--data", "KITES", "--teacher", "x"], "--teacher: not for training a detector"),
        (["pose", "--data", "KITES", "--mosaic", "0.5"], "--mosaic: not for training a pose model"),
        (["pose", "--data", "KITES", "--model", "rtmdet-nano"], "cannot be trained as a pose model"),
        (["pose", "--data", "KITES", "--model", "rtmpose-q"], "unknown network 'rtmpose-q'"),
        (["pose", "--data", "KITES", "--freeze", 2], "--freeze keeps what --init brings"),
        (["pose", "--data", "KITES", "--teacher-everything"], "name one with --teacher"),
        (["pose", "--data", "KITES", "--temperature", 0], "expected a positive number"),
        (["pose", "--data", "KITES", "--device", "cuda"], "torch sees no GPU"),
        (["pose", "--data", "KITES", "--images", "a", "--images", "b"], "2 times --images"),
        (["pose", "--data", "KITES", "--out", "."], "there is something in it already"),
        (["pose", "--data", "absent.json"], "absent.json: no such file"),
        (["pose", "--data", "KITES", "--precision", "fp16"], "on a CPU, which trains in fp32 or bf16"),
        (["pose", "--data", "KITES", "--kernel-size", 6], "the kernel size is odd"),
        (["pose", "--data", "KITES", "--kernel-size", 6, "--heatmap-weight", 2], "the kernel size is odd"),
        (["pose", "--data", "KITES", "--input-size", "100x100"], "multiples of 32 px"),
        (["pose", "--data", "KITES", "--input-size", "100x100", "--heatmap-weight", 2], "multiples of 32"),
        (["pose", "--data", "KITES", "--pretrain-size", "100x100"], "multiples of 32 px"),
        (["pose", "--data", "KITES", "--model", "rtmw-m", "--no-gau"], "head options are for RTMPose"),
        (["detector", "--data", "KITES", "--input-size", "100x100"], "multiples of 32 px"),
        (["pose", "--data", "KITES", "--val-data", "EMPTY"], "no annotation has keypoints"),
        (["pose", "--data", "KITES", "--val-data", "LONELY"], "say where they are with --val-images"),
        (["pose", "--data", "SHORT"], "annotation 6 has 3 keypoint numbers; expected 15"),
        (["detector", "--data", "EMPTY"], "no person box in 24 pictures"),
        (["pose", "--data", "KITES", "--teacher", "nosuch"], "nosuch"),
        (["pose", "--data", "KITES", "--teacher", "rtmpose-t-own"], "a teacher needs the same ones"),
        (
            ["pose", "--data", "KITES", "--init", "rtmdet-nano-own"],
            "tensors of its backbone have the right",
        ),
        (["pose", "--data", "KITES", "--batch", 7, "--devices", 2], "a multiple of --devices"),
        (["detector", "--data", "KITES", "--batch", 1, "--devices", 2], "a multiple of --devices"),
        (["pose", "--data", "KITES", "--clip-norm", -1], "--clip-norm is -1; expected a positive number"),
        (["pose", "--data", "KITES", "--clip-norm", 0], "--clip-norm is 0; expected a positive number"),
        (["pose", "--data", "KITES", "--rate", "nan"], "--rate is nan; expected a positive number"),
        (["pose", "--data", "KITES", "--rate", 0], "--rate is 0; expected a positive number"),
        (["pose", "--data", "KITES", "--weight-decay", -1], "--weight-decay is -1; expected 0 or more"),
        (["pose", "--data", "KITES", "--scale", 1.4, 0.6], "--scale is 1.4 0.6; expected two positive"),
        (["pose", "--data", "KITES", "--scale", -1, 1], "--scale is -1 1; expected two positive"),
        (["detector", "--data", "KITES", "--scale", 0, 0], "--scale is 0 0; expected two positive"),
        (["pose", "--data", "KITES", "--temperature", "inf"], "--temperature is inf; expected a positive"),
        (["pose", "--data", "KITES", "--kernel-size", -1], "--kernel-size is -1; expected 1 or more"),
        (["pose", "--data", "KITES", "--seed", -1], "--seed is -1; expected 0 or more"),
        (["pose", "--data", "KITES", "--epochs", "inf"], "--epochs is inf; expected a positive number"),
        (["pose", "--data", "KITES", "--epochs", 0], "--epochs is 0; expected a positive number"),
        (
            ["pose", "--data", "KITES", "--init", "x.pth"],
            "--init x.pth: no such file; expected a",
        ),
        (["pose", "--data", "KITES", "--init", "some/where"], "--init some/where: no such file"),
        (["pose", "--data", "KITES", "--init", "rtmpose-q"], "Did you mean rtmpose-"),
    ],
)
def test_what_cannot_be_trained_says_why(
    arguments: list[object],
    expected: str,
    kites: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    (tmp_path / "val" / "images").mkdir(parents=True)
    for row in json.loads(kites.read_text())["images"]:
        (tmp_path / "val" / "images" / row["file_name"]).touch()
    empty = tmp_path / "val" / "empty.json"
    empty.write_text(json.dumps({**json.loads(kites.read_text()), "annotations": []}))
    content = json.loads(kites.read_text())
    content["annotations"][5]["keypoints"] = [1, 2, 2]
    (tmp_path / "images").symlink_to(kites.parent / "images")
    short = tmp_path / "short.json"
    short.write_text(json.dumps(content))
    lonely = tmp_path / "val" / "images" / "lonely.json"
    lonely.write_text(kites.read_text())
    files = {"KITES": kites, "EMPTY": empty, "SHORT": short, "LONELY": lonely}
    given = [files.get(str(a), a) for a in arguments]
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = _rtmpose("train", *given, ok=False)
    assert expected in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()  # the same command can be given again, mended


def test_a_checkpoint_of_another_model_is_refused(kites: Path, tmp_path: Path) -> None:
    torch.save(build_model("rtmdet-nano").state_dict(), tmp_path / "nano.pth")
    done = _rtmpose(
        *("train", "pose", "--data", kites, "--init", tmp_path / "nano.pth", "--out", tmp_path / "run"),
        *SMALL,
        ok=False,
    )
    assert "tensors of its backbone have the right name and shape" in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


def test_two_processes_do_not_train_in_one_folder(kites: Path, tmp_path: Path) -> None:
    config = RunConfig("pose", "rtmpose-t", (str(kites),), (str(kites.parent / "images"),))
    config.save(tmp_path)
    with locked(tmp_path):
        done = _rtmpose("train", "--resume", tmp_path, ok=False)
    assert "another process trains in it" in done.stderr
    with locked(tmp_path):
        pass
