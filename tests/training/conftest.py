"""Kites: made-up pictures with five made-up keypoints, for tests without shared data; and runs on them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import RTMPoseError

KITE = ("top", "left_wing", "right_wing", "middle", "tail")
_COLORS = ((40, 40, 230), (40, 220, 40), (230, 60, 40), (40, 220, 230), (230, 40, 220))
_SHAPE = np.array([(0.5, 0.1), (0.2, 0.35), (0.8, 0.35), (0.5, 0.4), (0.5, 0.9)])
COMMAND = [str(Path(sys.executable).parent / "rtmpose")]
Once = Callable[[str, Callable[[Path], object]], Path]
SMALL = ["--input-size", "64x64", "--batch", "8", "--evaluate-epochs", "9", "--save-steps", "3"]


def draw_kites(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = (120, 110)) -> Path:
    """Write `count` pictures of one kite each, and their annotations; returns the json."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        width, height = size
        picture = rng.integers(90, 150, (height, width, 3), dtype=np.uint8)
        side = rng.uniform(50, 80)
        corner = rng.uniform((5, 5), (width - side - 5, height - side - 5))
        angle = rng.uniform(-0.3, 0.3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (_SHAPE - 0.5) @ turn.T * side + corner + side / 2
        for a, b in ((0, 1), (0, 2), (1, 4), (2, 4), (0, 4)):
            cv2.line(picture, points[a].astype(int), points[b].astype(int), (20, 20, 20), 2)
        for point, color in zip(points, _COLORS, strict=True):
            cv2.circle(picture, point.round().astype(int), 5, color, cv2.FILLED)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), picture)
        low, high = points.min(axis=0) - 6, points.max(axis=0) + 6
        images.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
        annotations.append(
            {
                "id": i + 1,
                "image_id": i,
                "category_id": 7,
                "iscrowd": 0,
                "bbox": [*low.tolist(), *(high - low).tolist()],
                "area": float((high - low).prod()),
                "num_keypoints": 5,
                "keypoints": np.column_stack([points, np.full(5, 2)]).reshape(-1).tolist(),
            }
        )
    categories = [{"id": 7, "name": "kite", "keypoints": list(KITE), "skeleton": [[1, 2], [1, 3], [1, 5]]}]
    file = folder / "kites.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content))
    return file


@pytest.fixture(scope="session")
def kites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 kites."""
    return draw_kites(tmp_path_factory.mktemp("kites"), 24)


@dataclass
class Done:
    stderr: str


def _rtmpose(*arguments: object, ok: bool = True) -> Done:
    """The command, in this process: importing torch anew would take longer than the run."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    expected = RTMPoseError if not ok else type(None)
    assert isinstance(result.exception, expected), (result.exception, result.output)
    return Done(result.stderr + str(result.exception or ""))


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


@pytest.fixture(scope="session")
def heatmap_run(kites: Path, once: Once) -> Path:
    return once(
        "training-heatmaps",
        lambda run: _rtmpose(
            *("train", "pose", "--data", kites, "--out", run, "--head", "heatmap", "--epochs", 4),
            *("--rate", 2e-3, "--weak-epochs", 0, "--init", "rtmpose-t-own", *SMALL),
        ),
    )
