"""What a stream is given: detections, times, settings, detectors of one's own; and calls that fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rtmpose_sdk import Detections, Pipeline, PoseResult, PoseStream
from rtmpose_sdk.benchmarks.scenes import COCO, SIZE, Scene, walk
from rtmpose_sdk.errors import EngineError, InputError
from rtmpose_sdk.follow import follow
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.sources import ArraySource

BLACK = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
BOX = np.array([[300, 300, 500, 700]], np.float32)
SURE = np.ones(1, np.float32)
VIDEO_MD = Path(__file__).parents[2] / "docs" / "video.md"


def one_walks() -> Scene:
    return Scene([walk((400, 600), (60, 0))], seconds=2, jitter=0.0)


BAD = [
    (Detections(BOX / 2, SURE, (SIZE[0] // 2, SIZE[1] // 2)), "detected in a picture of 640x360 px"),
    (Detections(BOX, SURE * np.nan, SIZE), r"scores of boxes are NaN or outside of 0\.\.\.1 \(box 0: nan"),
    (Detections(BOX, SURE * 87, SIZE), r"outside of 0\.\.\.1 \(box 0: 87\)"),
    (Detections(BOX, -SURE, SIZE), r"outside of 0\.\.\.1"),
    (Detections(BOX * np.float32("inf"), SURE, SIZE), "NaN or infinite"),
    (BOX[:, [2, 3, 0, 1]], "inverted"),
    ([1, 2, 3], r"shape \(3,\); expected \(N,4\)"),
    ("persons", "not numbers"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_detections_that_cannot_be(given: object, message: str) -> None:
    """Brought by the caller or by a function of one's own, and nothing of the stream has changed."""
    scene = one_walks()
    stream, unharmed = (PoseStream(scene.detect, scene.pose, COCO, 1) for _ in "ab")
    for index in range(3):
        scene.time = index / 30
        for each in (stream, unharmed):
            each(BLACK, scene.time)
    with pytest.raises(InputError, match=message):
        stream(BLACK, 0.1, given)
    stream.detect = lambda _: given
    with pytest.raises(InputError, match=message):
        stream(BLACK, 0.1)
    stream.detect = scene.detect
    scene.time = 0.1
    same(stream(BLACK, 0.1), unharmed(BLACK, 0.1))


def same(one: FrameResult, other: FrameResult) -> None:
    assert (one.index, one.time, one.detected, one.cut) == (
        other.index,
        other.time,
        other.detected,
        other.cut,
    )
    np.testing.assert_array_equal(one.poses.track_ids, other.poses.track_ids)
    np.testing.assert_array_equal(one.poses.keypoints, other.poses.keypoints)


def test_boxes_alone_are_sure() -> None:
    for boxes in (BOX, BOX.tolist(), BOX.astype(np.float64)):
        scene = one_walks()
        by_call = PoseStream(None, scene.pose, COCO)
        by_function = PoseStream(lambda _, boxes=boxes: boxes, scene.pose, COCO)
        for found in (by_call(BLACK, 0.0, boxes), by_function(BLACK, 0.0)):
            assert found.detected
            np.testing.assert_allclose(found.poses.boxes, BOX)
            assert found.poses.box_scores.tolist() == [1.0]
    assert len(PoseStream(None, one_walks().pose, COCO)(BLACK, 0.0, []).poses) == 0


def test_a_score_that_an_engine_rounded_is_none_too_many() -> None:
    scene = one_walks()
    assert (
        len(PoseStream(None, scene.pose, COCO)(BLACK, 0.0, Detections(BOX, SURE + 1e-4, SIZE)).poses) == 1
    )


@pytest.mark.parametrize("fails", ["detector, due", "detector, somebody is lost", "pose, due", "pose"])
def test_a_call_that_fails_counts_as_no_frame(fails: str) -> None:
    """The same frame can be given again, and goes on as if nothing had been."""
    scene = one_walks()
    broken = False
    last = {"detector, due": 5, "detector, somebody is lost": 3, "pose, due": 5, "pose": 3}[fails]
    lost = "lost" in fails

    def detect(picture: np.ndarray) -> Detections:
        if broken and "detector" in fails:
            raise EngineError("out of memory")
        return scene.detect(picture)

    def pose(picture: np.ndarray, boxes: Detections) -> PoseResult:
        if broken and "pose" in fails:
            raise EngineError("out of memory")
        found = scene.pose(picture, boxes)
        return replace(found, confidences=found.confidences * np.float32(0.1)) if lost and late else found

    stream, unharmed = PoseStream(detect, pose, COCO, 5), PoseStream(detect, pose, COCO, 5)
    late = False
    for index in range(last):
        scene.time = index / 30
        for each in (stream, unharmed):
            each(BLACK, scene.time)
    scene.time, late, broken = last / 30, True, True
    for _ in range(2):
        with pytest.raises(EngineError):
            stream(BLACK, scene.time)
        assert stream.count == last
    broken = False
    same(stream(BLACK, scene.time), unharmed(BLACK, scene.time))
    late, scene.time = False, (last + 1) / 30
    same(stream(BLACK, scene.time), unharmed(BLACK, scene.time))


def test_a_frame_that_failed_may_be_followed_by_an_earlier_one() -> None:
    scene = one_walks()
    broken = False

    def pose(picture: np.ndarray, boxes: Detections) -> PoseResult:
        if broken:
            raise EngineError("out of memory")
        return scene.pose(picture, boxes)

    stream = PoseStream(scene.detect, pose, COCO, 5)
    for index in range(3):
        scene.time = index / 30
        stream(BLACK, scene.time)
    broken = True
    with pytest.raises(EngineError):
        stream(BLACK, 0.5)
    broken = False
    for index in range(3, 10):
        scene.time = index / 30
        assert stream(BLACK, scene.time).poses.track_ids.tolist() == [1]


@pytest.mark.parametrize("time", [None, "0.1", True, np.datetime64("2026-01-01"), float("nan"), [0.1]])
def test_times_that_are_no_seconds(time: Any) -> None:
    scene = one_walks()
    stream = PoseStream(scene.detect, scene.pose, COCO)
    with pytest.raises(InputError, match=r"time is .*; expected seconds that grow, a number"):
        stream(BLACK, time)
    assert stream(BLACK, np.float32(0.0)).index == 0


@pytest.fixture(scope="module")
def blind() -> Pipeline:
    return Pipeline(detector=None, threads=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing": False}, r"smoothing is False; expected Smoothing\(\.\.\.\), or None, which is off"),
        ({"smoothing": True}, "smoothing is True"),
        ({"tracking": False}, r"tracking is False; expected Tracking\(\.\.\.\), or None for the defaults"),
        ({"tracking": {"reentry": 3}}, r"tracking is \{'reentry': 3\}"),
        ({"detect": "rtmdet-nano"}, "detect is 'rtmdet-nano'; expected a function"),
    ],
)
def test_settings_of_other_kinds(blind: Pipeline, settings: dict[str, Any], message: str) -> None:
    scene = one_walks()
    with pytest.raises(InputError, match=message):
        PoseStream(**{"detect": scene.detect, "pose": scene.pose, "keypoint_set": COCO, **settings})
    for make in (blind.stream, lambda **options: next(blind.follow([BLACK], **options))):
        with pytest.raises(InputError, match=message):
            make(**settings)


def test_keypoints_are_smoothed_unless_it_is_switched_off(blind: Pipeline, photo: np.ndarray) -> None:
    box = np.array([[0, 0, 512, 512]], np.float32)
    moved = np.roll(photo, 5, axis=1)
    made: dict[str, Callable[..., PoseStream]] = {
        "pipeline": blind.stream,
        "bare": lambda **options: PoseStream(
            None, blind.top_down(), blind.top_down().keypoint_set, **options
        ),
    }
    second = {}
    for name, make in made.items():
        for kind, options in (("on", {}), ("off", {"smoothing": None})):
            stream = make(**options)
            stream(photo, 0.0, box)
            second[name, kind] = stream(moved, 0.03, box).poses.keypoints
    for kind in ("on", "off"):
        np.testing.assert_array_equal(second["pipeline", kind], second["bare", kind])
    assert np.abs(second["bare", "on"] - second["bare", "off"]).max() > 0.5


def test_a_stream_without_a_detector_wants_detections_in_each_call(blind: Pipeline) -> None:
    scene = one_walks()
    stream = PoseStream(None, scene.pose, COCO, 5)
    for index in range(6):
        with pytest.raises(
            InputError, match=r"no detector: call with detections=\.\.\., or give the stream"
        ):
            stream(BLACK, index / 30)
        scene.time = index / 30
        assert stream(BLACK, scene.time, scene.detect(BLACK)).index == index
    with pytest.raises(InputError, match=r"follow\(detect=\.\.\.\)"):
        next(blind.follow([BLACK]))
    with pytest.raises(InputError, match=r"follow\(detect=\.\.\.\)"):
        next(follow(ArraySource([BLACK], 30), stream, overlap=False))


def test_the_documented_detector_of_ones_own(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program of docs/video.md, as it is printed there."""
    section = VIDEO_MD.read_text("utf-8").split("## A detector of one's own")[1]
    program = re.search(r"^```python\n(.*?)^```", section, re.M | re.S)
    assert program is not None
    (tmp_path / "clip").mkdir()
    for index in range(7):
        cv2.imwrite(str(tmp_path / "clip" / f"{index}.png"), photo)
    monkeypatch.chdir(tmp_path)
    asked = []

    def my_detector(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(image.shape)
        return np.array([[0, 0, 512, 512]], np.float32), np.array([0.9], np.float32)

    exec(program[1].replace("clip.mp4", "clip"), {"my_detector": my_detector, "image": photo})
    assert capsys.readouterr().out.count("[1]") == 7
    assert asked == [photo.shape] * 3  # frames 0 and 5, and the call of the stream
