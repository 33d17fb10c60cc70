"""A network in training is measured as its artifact is, without an export."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.accuracy import artifact_accuracy
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.exporters.thaw import network_from_artifact
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.training.artifact import scorer
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.live import live_model

DATA = Path(str(resources.files("rtmpose_sdk"))) / "data"


def _annotations(photo_path: Path, folder: Path, rows: list[dict[str, Any]]) -> Path:
    category = {"id": 1, "name": "person", "keypoints": list(get_keypoint_set("coco17").names)}
    for number, row in enumerate(rows):
        row |= {"id": number + 1, "image_id": 1, "category_id": 1, "iscrowd": 0}
        row["area"] = row["bbox"][2] * row["bbox"][3]
    content = {
        "images": [{"id": 1, "file_name": photo_path.name}],
        "annotations": rows,
        "categories": [category],
    }
    (file := folder / "val.json").write_text(json.dumps(content))
    return file


def _persons(photo: np.ndarray, artifact: Path) -> list[dict[str, Any]]:
    """Boxes of one size around the astronaut, and what the artifact says moved by more and more px."""
    height, width = photo.shape[:2]
    rng = np.random.default_rng(0)
    rows = []
    with Predictor(artifact, threads=1) as predictor:
        for number in range(8):
            corner = rng.uniform(0, 60, 2)
            box = np.array([[*corner, width - 60 + corner[0], height - 60 + corner[1]]], np.float32)
            points = predictor(photo, box).keypoints[0] + number * 6
            labels = np.column_stack([points, np.full(17, 2)]).ravel().tolist()
            sides = (box[0, 2:] - box[0, :2]).tolist()
            rows.append({"bbox": [*corner.tolist(), *sides], "keypoints": labels, "num_keypoints": 17})
    return rows


@pytest.mark.parametrize("task", ["pose", "detector"])
def test_figures_are_those_of_the_artifact(
    task: Any, photo: np.ndarray, photo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "rtmpose-t" if task == "pose" else "rtmdet-nano"
    artifact = DATA / f"{name}-own.onnx"
    rows = _persons(photo, artifact) if task == "pose" else [{"bbox": [20.0, 5.0, 400.0, 500.0]}]
    file = _annotations(photo_path, tmp_path, rows)
    expected = artifact_accuracy(artifact, file, photo_path.parent)
    card = artifact_card(artifact)
    images = str(photo_path.parent)
    config = RunConfig(task, name, (str(file),), (images,), str(file), images, input_size=card.input_size)
    network = network_from_artifact(artifact).train()

    def no_export(*_: object, **__: object) -> None:
        raise AssertionError("an evaluation exports")

    monkeypatch.setattr("torch.onnx.export", no_export)
    figures = scorer(config, get_keypoint_set("coco17") if task == "pose" else None)(network)
    assert 0.1 < expected["AP"] < 0.95
    assert figures == pytest.approx(expected, abs=1e-3)
    assert network.training


def test_convolutions_are_fp32_as_in_an_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, torch would take TF32."""
    seen = set()
    forward = nn.Conv2d.forward

    def spy(self: nn.Conv2d, x: Tensor) -> Tensor:
        seen.add(torch.backends.cudnn.allow_tf32)
        return forward(self, x)

    artifact = DATA / "rtmdet-nano-own.onnx"
    network = network_from_artifact(artifact)
    monkeypatch.setattr(nn.Conv2d, "forward", spy)
    live_model(network, artifact_card(artifact))
    assert seen == {False}
    assert torch.backends.cudnn.allow_tf32


def test_a_live_detector_finds_what_its_artifact_finds(photo: np.ndarray) -> None:
    """Also in a letterbox that is no square."""
    artifact = DATA / "rtmdet-nano-own.onnx"
    picture = cv2.resize(photo, (640, 256))
    with Detector(artifact, threads=1) as first:
        expected = first(picture, 0.02)
        with Detector(live_model(network_from_artifact(artifact), first.card)) as second:
            found = second(picture, 0.02)
    assert len(expected) > 1
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
