"""Which models does a Pipeline open? What is named is used or refused, also by the name of the default."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtmpose_sdk import Pipeline, get_keypoint_set
from rtmpose_sdk.errors import InputError, ModelFileError, ModelNotFoundError
from rtmpose_sdk.hub.table import PRESETS, Preset
from rtmpose_sdk.profile import NetworkSettings, Profile, hashes, this_machine
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE, find_checkpoint, find_model, models_meant


@pytest.fixture
def preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """A preset whose detector is not there."""
    monkeypatch.setitem(PRESETS, "lightweight", Preset(DEFAULT_POSE, "no-detector"))
    return "lightweight"


def test_a_detector_that_is_named_beside_a_preset_is_used(preset: str) -> None:
    with Pipeline(preset, detector=DEFAULT_DETECTOR, threads=1) as pipeline:
        assert pipeline.detector is not None
        assert pipeline.detector.runtime.path == find_model(DEFAULT_DETECTOR)
    with Pipeline(preset, detector=None, threads=1) as pipeline:
        assert pipeline.detector is None
    for nothing_said in ({}, {"detector": "auto"}):
        with pytest.raises(ModelNotFoundError, match="'no-detector' is neither"):
            Pipeline(preset, threads=1, **nothing_said)


def test_what_nothing_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("auto", "default"):  # files of these names change nothing
        (tmp_path / word).touch()
    assert models_meant("default", "auto") == (DEFAULT_POSE, DEFAULT_DETECTOR)
    assert models_meant("balanced", "auto") == PRESETS["balanced"]
    assert models_meant("balanced", DEFAULT_DETECTOR) == (PRESETS["balanced"].pose, DEFAULT_DETECTOR)
    assert models_meant("balanced", None) == (PRESETS["balanced"].pose, None)
    assert models_meant(Path("default"), Path("auto")) == (Path("default"), Path("auto"))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"pose": DEFAULT_POSE}, "leave out pose"),
        ({"detector": DEFAULT_DETECTOR}, "leave out detector"),
        ({"detector": None}, "leave out detector"),
        ({"batch_limit": 16}, "leave out batch_limit"),
    ],
)
def test_a_profile_leaves_no_room_for_what_is_named(
    tmp_path: Path, named: dict[str, Any], message: str
) -> None:
    networks = [
        NetworkSettings(str(path), "onnxruntime", None, 1, hashes(path))
        for path in map(find_model, (DEFAULT_POSE, DEFAULT_DETECTOR))
    ]
    file = tmp_path / "p.json"
    Profile(*networks, 3, 2, this_machine(), {}, {}, {}).save(file)
    with Pipeline("default", "auto", profile=file) as pipeline:
        assert pipeline.top_down().batch_limit == 3
    with pytest.raises(InputError, match=message):
        Pipeline(profile=file, **named)


def test_a_model_in_one_stage_refuses_the_bundled_detector_too(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    opened = SimpleNamespace(
        card=SimpleNamespace(name="rtmo-s", decoder="rtmo"),
        runtime=SimpleNamespace(close=lambda: closed.append(True)),
    )
    monkeypatch.setattr("rtmpose_sdk.pipeline.open_model", lambda *_, **__: opened)
    with pytest.raises(
        InputError, match="rtmo-s finds persons by itself, in one stage: leave out detector"
    ):
        Pipeline("rtmo-s", detector=DEFAULT_DETECTOR)
    assert closed == [True]


def test_boxes_for_a_stream_in_one_stage_are_refused() -> None:
    from rtmpose_sdk.one_stage_stream import OneStagePoseStream, OneStageStream
    from rtmpose_sdk.results import Detections, PoseResult
    from rtmpose_sdk.tracking import Tracking

    coco, black = get_keypoint_set("coco17"), np.zeros((200, 200, 3), np.uint8)
    box = np.array([[20, 20, 120, 180]], np.float32)
    points = np.linspace((25, 25), (115, 175), 17, dtype=np.float32)[None]
    sure = np.full((1, 17), 0.9, np.float32)
    found = PoseResult(box, sure[:, 0], points, sure, sure, coco, (200, 200))
    stream = OneStagePoseStream(OneStageStream(lambda _: found, coco), "rtmo-s", Tracking(), None)
    for given in (box, np.empty((0, 4)), Detections(box, sure[:, 0], (200, 200))):
        with pytest.raises(InputError, match="rtmo-s takes no boxes: it finds persons by itself"):
            stream(black, 0.0, given)
    assert len(stream(black, 0.0).poses) == 1
    assert stream.detect is not None
    assert len(stream(black, 0.1, stream.detect(black)).poses) == 1  # as `follow` does, ahead


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What `rtmpose train` leaves, but for the weights; its name is a published model's."""
    folder = tmp_path / "rtmpose-m"
    (folder / "pretraining").mkdir(parents=True)
    config = {"task": "pose", "model": "rtmpose-t", "annotations": ["a.json"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "last.pt").touch()
    shutil.copy(find_model(DEFAULT_POSE), folder / "rtmpose-t.onnx")
    return folder


def test_the_folder_of_a_training_run_is_its_artifact(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    for source in (run, "rtmpose-m"):
        with Pipeline(source, None, threads=1) as pipeline:
            assert pipeline.predictor.runtime.path.resolve() == run / "rtmpose-t.onnx"


def test_a_training_run_without_one_artifact_says_what_to_do(run: Path) -> None:
    (run / "int8.onnx").touch()
    with pytest.raises(
        ModelFileError, match=r"with 2 artifacts, int8\.onnx, rtmpose-t\.onnx; name the one"
    ):
        find_model(run)
    (run / "int8.onnx").unlink()
    (run / "rtmpose-t.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"has no artifact yet.*train --resume [^ ]*rtmpose-m$"):
        find_model(run)
    (run / "best.pth").touch()
    with pytest.raises(ModelFileError, match=r"its best weights up to now: .*best\.pth$"):
        find_model(run)
    (run / "config.json").write_text('{"model_type": "another program\'s"}')
    assert find_model(run) == run  # no run


@pytest.mark.parametrize("find", [find_model, find_checkpoint])
def test_the_state_of_a_training_run_is_no_model(run: Path, find: Any) -> None:
    (run / "best.pth").touch()
    with pytest.raises(
        InputError,
        match=r"last\.pt: is the state .*--resume [^ ]*rtmpose-m\), or give its weights: [^ ]*best\.pth$",
    ):
        find(run / "last.pt")
