"""Skipped detections against a detection in every frame: rates, people, keypoints."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks import video
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import Pipeline

DETECTOR = "rtmdet-nano-own"


@pytest.fixture(scope="module")
def clip(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photograph, seven times."""
    file = tmp_path_factory.mktemp("clip") / "still.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, photo.shape[1::-1])
    for _ in range(7):
        writer.write(photo)
    writer.release()
    return file


def cells(*arguments: object) -> dict[str, list[str]]:
    """The command's table by the first cell of its rows."""
    words = [str(word) for word in arguments]
    done = CliRunner().invoke(video.app, words, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [line.split("│")[1:-1] for line in done.output.splitlines() if line.startswith("│")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_of_a_still_picture_nothing_is_lost_by_skipping(clip: Path) -> None:
    rows = cells(clip, "--what", "skip", "--detector", DETECTOR, "--rounds", 1)
    assert rows["ids"] == ["1", "1"]
    rate, skipped = map(float, rows["frames / s"])
    assert float(rows["rate, ratio"][1]) == pytest.approx(skipped / rate, rel=0.02)
    assert float(rows["keypoints apart, median / body size"][1].rstrip("%")) < 1
    assert float(rows["boxes, mean IoU of both"][1]) > 0.8


def test_the_size_is_the_detectors(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def seen(pipeline: Pipeline, *_: object) -> None:
        assert pipeline.detector is not None
        sizes.append(pipeline.detector.card.input_size)

    monkeypatch.setattr(video, "_skipping", seen)
    cells(clip, "--what", "skip", "--detector", DETECTOR)
    cells(clip, "--what", "skip", "--detector", DETECTOR, "--detector-size", "192")
    assert sizes == [(384, 384), (192, 192)]


def test_own_work_is_what_the_networks_leave(clip: Path) -> None:
    rows = cells(clip, "--what", "share", "--detector", DETECTOR)
    names = ("a frame, decoded", "the two networks", "own work")
    total, networks, own = (float(rows[name][0]) for name in names)
    assert networks > 0
    assert total == pytest.approx(networks + own, abs=0.02)


def test_rtmlib_takes_no_other_size(clip: Path) -> None:
    words = [str(clip), "--what", "rtmlib", "--detector", DETECTOR, "--detector-size", "192"]
    with pytest.raises(InputError, match="--detector-size"):
        CliRunner().invoke(video.app, words, catch_exceptions=False)
