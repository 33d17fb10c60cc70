"""From annotations to an artifact that Pipeline runs, by the command alone; and what stops it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
import torch
import typer
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from rich.console import Console
from typer.testing import CliRunner

from rtmpose_sdk import Pipeline
from rtmpose_sdk.artifacts import artifact_card, open_model
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.train_run import Shown, finish
from rtmpose_sdk.errors import InputError, RTMPoseError
from rtmpose_sdk.exporters.network import open_checkpoint
from rtmpose_sdk.exporters.thaw import network_from_artifact
from rtmpose_sdk.keypoint_sets import keypoint_set_named
from rtmpose_sdk.models import build_model, read_checkpoint
from rtmpose_sdk.training import processes
from rtmpose_sdk.training.artifact import note
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.initialize import load_what_fits
from rtmpose_sdk.training.lock import locked
from rtmpose_sdk.training.logs import read_log
from rtmpose_sdk.training.persons import Source, read_keypoint_set
from rtmpose_sdk.training.pretraining import pretraining
from rtmpose_sdk.training.state import save_weights
from rtmpose_sdk.training.tasks import build_network, detector_task
from rtmpose_sdk.training.worst_persons import write_worst_persons

KITE = ("top", "left_wing", "right_wing", "middle", "tail")
COMMAND = [str(Path(sys.executable).parent / "rtmpose")]
Once = Callable[[str, Callable[[Path], object]], Path]
SMALL = ["--input-size", "64x64", "--batch", "8", "--evaluate-epochs", "9", "--save-steps", "3"]


@dataclass
class Done:
    stderr: str


def _rtmpose(*arguments: object, ok: bool = True) -> Done:
    """The command, in this process: importing torch anew would take longer than the run."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    expected = RTMPoseError if not ok else type(None)
    assert isinstance(result.exception, expected), (result.exception, result.output)
    return Done(result.stderr + str(result.exception or ""))


def _without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is over before a run exports."""
    monkeypatch.setattr("rtmpose_sdk.training.run.export_artifact", lambda *_: None)


@pytest.fixture(scope="session")
def trained(kites: Path, once: Once) -> Path:
    """A short run: pre-training, SimCC, export."""
    return once(
        "training-kites",
        lambda run: _rtmpose(
            *("train", "pose", "--data", kites, "--val-data", kites, "--out", run, "--epochs", 4),
            *("--weak-epochs", 1, "--rate", 2e-3, "--pretrain-epochs", 2, "--pretrain-size", "64x64"),
            *("--tensorboard", "--storage", "fp16", "--license", "CC0-1.0", *SMALL),
        ),
    )


def test_five_made_up_keypoints_become_an_artifact_that_pipeline_runs(trained: Path, kites: Path) -> None:
    picture = cv2.imread(str(kites.parent / "images" / "0.png"))
    with Pipeline(trained / "rtmpose-t.onnx", None, threads=1) as pipeline:
        result = pipeline(picture, "full")
        card = pipeline.predictor.card
    assert result.keypoints.shape == (1, 5, 2)
    assert result.keypoint_set.names == KITE
    assert result.keypoint_set.flip_indices == (0, 2, 1, 3, 4)
    assert result.keypoint_set.skeleton == ((0, 1), (0, 2), (0, 4))
    assert list(result.to_dict()["persons"][0]["keypoints"]) == list(KITE)
    assert result.draw(picture).shape == picture.shape
    assert card.license == "CC0-1.0"
    assert card.verification["verified"]
    assert "kites AP (ground-truth boxes)" in card.accuracy


def test_the_run_leaves_a_report_logs_and_weights(trained: Path) -> None:
    report = (trained / "report.md").read_text()
    assert "| step | AP |" in report
    assert "-1.000" not in report
    assert "(shipped)" in report
    named = artifact_card(trained / "rtmpose-t.onnx").accuracy
    (own,) = [line for line in report.splitlines() if line.startswith("| artifact |")]
    assert own.split(" | ")[1] == f"{named['kites AP (ground-truth boxes)']:.3f}"
    for name in ("curves.png", "worst.jpg"):
        picture = cv2.imread(str(trained / name))
        assert picture is not None
        assert picture.std() > 5
    log = read_log(trained / "log.csv")
    assert log["step"] == list(range(1, 13))
    assert read_log(trained / "figures.csv")["step"] == [12]
    assert read_log(trained / "pretraining" / "log.csv")["heatmap"][-1] > 0
    network = build_model("rtmpose-t", keypoint_set=5, input_size=(64, 64))
    network.load_state_dict(read_checkpoint(trained / "weights.pth"))
    assert list((trained / "tensorboard").glob("events.*"))
    assert not list(trained.rglob("*.part"))
    assert not list(trained.rglob("*.u8"))


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


def test_fine_tuning_lists_what_did_not_fit(trained: Path, kites: Path, tmp_path: Path) -> None:
    """The head of five keypoints into one of three: only what depends on their number stays random."""
    content = json.loads(kites.read_text())
    content["categories"][0] |= {"keypoints": list(KITE[:3]), "skeleton": []}
    for row in content["annotations"]:
        row["keypoints"], row["num_keypoints"] = row["keypoints"][:9], 3
    three = tmp_path / "three.json"
    three.write_text(json.dumps(content))
    done = _rtmpose(
        *("train", "pose", "--data", three, "--images", kites.parent / "images", "--epochs", 1),
        *("--init", trained / "weights.pth", "--freeze", 2, "--out", tmp_path / "run", *SMALL),
    )
    assert "of another shape, left random: head.final_layer.weight, head.final_layer.bias" in done.stderr
    assert (tmp_path / "run" / "rtmpose-t.onnx").is_file()
    stem = "backbone.stem.0.conv.weight"
    before, after = (read_checkpoint(f / "weights.pth")[stem] for f in (trained, tmp_path / "run"))
    assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["weights.pth", "best.pth"])
def test_weights_say_themselves_what_they_are(
    name: str, trained: Path, kites: Path, tmp_path: Path
) -> None:
    """Exported again, with not a word said, they give what the run's own artifact gives."""
    again = tmp_path / "again.onnx"
    _rtmpose("export", "--weights", trained / name, "--out", again, "--no-verify", "--storage", "fp16")
    picture = cv2.imread(str(kites.parent / "images" / "0.png"))
    results = []
    for file in (trained, again):
        with Pipeline(file, None, threads=1) as pipeline:
            results.append(pipeline(picture, "full"))
            card = pipeline.predictor.card
    assert card.keypoints().names == KITE
    assert results[1].keypoint_set.flip_indices == (0, 2, 1, 3, 4)
    np.testing.assert_allclose(results[0].keypoints, results[1].keypoints)
    np.testing.assert_allclose(results[0].confidences, results[1].confidences, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "kernel_size": 3, "gau": False},
        {"head": "simcc-star"},
        {"head": "heatmap"},
        {"model": "rtmw-m"},
    ],
)
def test_weights_of_an_ablation_are_opened_as_what_they_are(
    kites: Path, tmp_path: Path, options: dict
) -> None:
    names = tuple(f"point{i}" for i in range(17))  # as many as COCO has, and not COCO's
    keypoint_set = keypoint_set_named("odd", names)
    config = RunConfig(
        **{"task": "pose", "model": "rtmpose-t", "annotations": (), "images": (), "input_size": (64, 64)}
        | options
    )
    network = build_network(config, keypoint_set)
    save_weights(network, tmp_path / "weights.pth", note=note(config, keypoint_set))
    opened, card = open_checkpoint(tmp_path / "weights.pth")
    for name, value in network.state_dict().items():
        assert torch.equal(value, opened.state_dict()[name])
    assert card.keypoints().names == names
    assert card.input_size == (64, 64)
    assert card.decoder == ("heatmap" if options.get("head") == "heatmap" else "simcc")
    assert card.simcc_beta == pytest.approx(1 / options.get("temperature", 0.1))
    with pytest.raises(InputError, match="has 17 keypoints, but halpe26 has 26"):
        open_checkpoint(tmp_path / "weights.pth", keypoint_set="halpe26")


@pytest.fixture(scope="session")
def heatmap_run(kites: Path, once: Once) -> Path:
    return once(
        "training-heatmaps",
        lambda run: _rtmpose(
            *("train", "pose", "--data", kites, "--out", run, "--head", "heatmap", "--epochs", 4),
            *("--rate", 2e-3, "--weak-epochs", 0, "--init", "rtmpose-t-own", *SMALL),
        ),
    )


@pytest.mark.parametrize("decoder", ["simcc", "heatmap"])
def test_a_teacher_labels_and_is_imitated(
    decoder: str,
    request: pytest.FixtureRequest,
    kites: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody's `tail` is labelled; the teacher knows it."""
    teacher = (
        request.getfixturevalue("heatmap_run" if decoder == "heatmap" else "trained") / "rtmpose-t.onnx"
    )
    if decoder == "heatmap":  # no matter to the export
        _without_export(monkeypatch)
    content = json.loads(kites.read_text())
    for row in content["annotations"]:
        row["keypoints"][12:] = [0, 0, 0]
        row["num_keypoints"] = 4
    (tmp_path / "images").symlink_to(kites.parent / "images")
    (tmp_path / "no_tail.json").write_text(json.dumps(content))
    done = _rtmpose(
        *("train", "pose", "--data", tmp_path / "no_tail.json", "--out", tmp_path / "run", "--epochs", 1),
        *("--teacher", teacher, "--teacher-confidence", 0, "--pretrain-epochs", 0),
        *SMALL,
    )
    assert "is imitated on each crop" in done.stderr
    labels = np.load(tmp_path / "run" / "labels.npz")
    assert (labels["weights"][:, 4] > 0).any()
    assert (labels["weights"][:, :4] == 1).all()
    assert read_log(tmp_path / "run" / "log.csv")["teacher"][0] > 0


@pytest.mark.parametrize("head", ["heatmap", "simcc", "simcc-star"])
def test_ablation_heads_train_export_and_run(
    head: str, request: pytest.FixtureRequest, kites: Path, tmp_path: Path
) -> None:
    if head == "heatmap":
        run = request.getfixturevalue("heatmap_run")
    else:
        run = tmp_path / "run"
        _rtmpose(
            *("train", "pose", "--data", kites, "--out", run, "--epochs", 1, "--head", head),
            *("--pretrain-epochs", 0, *SMALL),
        )
    with Pipeline(run / "rtmpose-t.onnx", None, threads=1, flip_test=True) as pipeline:
        result = pipeline(cv2.imread(str(kites.parent / "images" / "1.png")), "full")
        assert pipeline.predictor.card.decoder == ("heatmap" if head == "heatmap" else "simcc")
    assert np.isfinite(result.keypoints).all()


def test_a_detector_is_trained_and_exported(kites: Path, tmp_path: Path) -> None:
    done = _rtmpose(
        *("train", "detector", "--data", kites, "--val-data", kites, "--out", tmp_path / "run"),
        *("--epochs", 2, "--weak-epochs", 1, *SMALL),
    )
    artifact = tmp_path / "run" / "rtmdet-nano.onnx"
    assert "6 steps are few to learn something new in" in done.stderr
    assert "step 6: AP 0." in done.stderr
    assert f"try it: rtmpose predict PICTURE --detector {artifact}" in done.stderr
    model = open_model(tmp_path / "run" / "rtmdet-nano.onnx", "detect", threads=1)
    assert model.card.input_size == (64, 64)
    assert "kites AP50 (person boxes)" in model.card.accuracy
    model.runtime.close()
    assert "pictures with most mistakes" in (tmp_path / "run" / "report.md").read_text()
    assert cv2.imread(str(tmp_path / "run" / "worst.jpg")).std() > 5


def test_two_processes_of_a_cpu_share_a_run(kites: Path, tmp_path: Path) -> None:
    arguments = ["train", "pose", "--data", kites, "--out", tmp_path / "run", "--epochs", 1, *SMALL]
    done = subprocess.run(
        [*COMMAND, *map(str, arguments), "--devices", "2", "--pretrain-epochs", "0"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        cwd=tmp_path,
    )
    assert (tmp_path / "run" / "rtmpose-t.onnx").is_file()
    assert done.stderr.count("cutting 24 persons") == 1


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


def test_a_checkpoint_of_another_model_is_refused(kites: Path, tmp_path: Path) -> None:
    torch.save(build_model("rtmdet-nano").state_dict(), tmp_path / "nano.pth")
    done = _rtmpose(
        *("train", "pose", "--data", kites, "--init", tmp_path / "nano.pth", "--out", tmp_path / "run"),
        *SMALL,
        ok=False,
    )
    assert "tensors of its backbone have the right name and shape" in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


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


def test_the_worst_persons_are_those_of_the_evaluation(trained: Path, kites: Path, tmp_path: Path) -> None:
    """Not those whose num_keypoints is 0, whatever they are."""
    content = json.loads(kites.read_text())
    rows = content["annotations"]
    content["images"].append({"id": 99, "file_name": "gone.png", "width": 120, "height": 110})
    rows.append({**rows[0], "id": 98, "image_id": 99, "num_keypoints": 0})
    rows.append({**rows[0], "id": 99, "num_keypoints": 0, "bbox": [10, 10, 0, 10]})
    rows.append({**rows[0], "id": 100, "iscrowd": 1})
    rows.append({**rows[0], "id": 101, "keypoints": [0] * 15})
    file = tmp_path / "val.json"
    file.write_text(json.dumps(content))
    source = Source(file, kites.parent / "images")
    assert write_worst_persons(source, trained / "rtmpose-t.onnx", tmp_path / "worst.jpg") == 24
    assert (tmp_path / "worst.jpg").is_file()


def test_two_processes_do_not_train_in_one_folder(kites: Path, tmp_path: Path) -> None:
    config = RunConfig("pose", "rtmpose-t", (str(kites),), (str(kites.parent / "images"),))
    config.save(tmp_path)
    with locked(tmp_path):
        done = _rtmpose("train", "--resume", tmp_path, ok=False)
    assert "another process trains in it" in done.stderr
    with locked(tmp_path):
        pass


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
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run" / "last.pt").is_file():
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "go on with: rtmpose train --resume run" in errors
