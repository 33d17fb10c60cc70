"""From annotations to an artifact that Pipeline runs, by the command alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtmpose_sdk import Pipeline
from rtmpose_sdk.artifacts import artifact_card, open_model
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.network import open_checkpoint
from rtmpose_sdk.keypoint_sets import keypoint_set_named
from rtmpose_sdk.models import build_model, read_checkpoint
from rtmpose_sdk.training.artifact import note
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.logs import read_log
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.state import save_weights
from rtmpose_sdk.training.tasks import build_network
from rtmpose_sdk.training.worst_persons import write_worst_persons

from .conftest import COMMAND, KITE, SMALL, _rtmpose


def _without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is over before a run exports."""
    monkeypatch.setattr("rtmpose_sdk.training.run.export_artifact", lambda *_: None)


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
