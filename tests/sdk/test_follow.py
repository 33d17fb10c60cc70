"""A whole video: how far a live one lags behind, how it is stopped, what its stages took, tables of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import PoseStream
from rtmpose_sdk.benchmarks.scenes import COCO, SIZE, Scene, walk
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.follow import LIVE_PATIENCE, follow
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.sources import ArraySource, Frame, Source
from rtmpose_sdk.stages import Background
from rtmpose_sdk.tables import to_dataframe

BLACK = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
LIMIT = 60.0


class Live(Source):
    """A camera that makes a frame whenever `tick` says so, whether anybody reads it or not."""

    live = True

    def __init__(self) -> None:
        super().__init__("live")
        self._changed = threading.Condition()
        self._wanted, self.made, self._idle, self._stopped = 1, 0, False, False

    def frames(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                self._idle = self.made == self._wanted
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self.made < self._wanted, LIMIT)
                if self._stopped:
                    return
                self.made += 1
            image = BLACK.copy()
            image[0, 0] = [(self.made - 1) % 256, (self.made - 1) // 256, 0]
            yield Frame(image, self.made - 1, (self.made - 1) / 30)

    def tick(self, count: int) -> None:
        """`count` frames go by."""
        with self._changed:
            self._wanted += count
            self._idle = False
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._idle or self._stopped, LIMIT)

    def interrupt(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def number_in(image: np.ndarray) -> int:
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])


@pytest.mark.parametrize("slow", ["detector", "pose"])
def test_a_live_source_stays_a_few_frames_behind(slow: str) -> None:
    """While a network looks at one frame, ten go by; every frame it looks at is the newest one then."""
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)
    source = Live()
    lags = []

    def detect(image: np.ndarray) -> Detections:
        if slow == "detector":
            lags.append(source.made - 1 - number_in(image))
            source.tick(10)
        return scene.detect(image)

    def pose(image: np.ndarray, boxes: Detections) -> PoseResult:
        if slow == "pose":
            lags.append(source.made - 1 - number_in(image))
            source.tick(10)
        return scene.pose(image, boxes)

    steps = follow(source, PoseStream(detect, pose, COCO, 1 if slow == "detector" else 5))
    seen = [next(steps).frame.index for _ in range(12)]
    steps.close()
    assert max(lags) <= 2
    assert seen == sorted(seen)
    assert seen[-1] >= 90


def test_a_source_that_stalls_is_stopped() -> None:
    """A stream that gives three frames and then nothing: waiting for the fourth asks `stop`."""
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)
    source = Live()
    source._wanted = 3
    asked: list[bool] = []
    got = []
    for step in follow(source, PoseStream(scene.detect, scene.pose, COCO, 5), stop=lambda: bool(asked)):
        got.append(step.frame.index)
        if step.frame.index == 2:
            asked.append(True)
    assert got[-1] == 2
    assert source._stopped


def test_arrays_that_do_not_come_are_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator may block in somebody's queue; a list never does."""
    patience: list[tuple[float, ...]] = []
    close = Background.close

    def spy(self: Background[object], *seconds: float) -> bool:
        patience.append(seconds)
        return close(self, *seconds)

    monkeypatch.setattr(Background, "close", spy)
    scene = Scene([walk((400, 600), (0, 0))], seconds=2)
    over = threading.Event()

    def silent() -> Iterator[np.ndarray]:
        yield BLACK
        over.wait(LIMIT)

    for items, short in ((silent(), True), ([BLACK], False)):
        patience.clear()
        steps = follow(ArraySource(items, 30), PoseStream(scene.detect, scene.pose, COCO, 5))
        next(steps)
        steps.close()
        assert ((LIVE_PATIENCE,) in patience) == short
    over.set()


def test_a_file_is_stopped_between_frames() -> None:
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)
    for overlap in (True, False):
        asked: list[bool] = []
        got = []
        source = ArraySource((BLACK for _ in range(1000)), 30.0)
        stream = PoseStream(scene.detect, scene.pose, COCO, 5)
        for step in follow(source, stream, overlap, lambda: bool(asked)):  # noqa: B023
            got.append(step.frame.index)
            if len(got) == 5:
                asked.append(True)
        assert got == list(range(len(got)))
        assert 5 <= len(got) < 20


@pytest.mark.parametrize("overlap", [True, False])
def test_what_the_stages_took(overlap: bool) -> None:
    """A detection that was made ahead is counted in its frame, and no other."""
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)
    source = ArraySource((BLACK for _ in range(11)), 30.0)
    stream = PoseStream(scene.detect, scene.pose, COCO, 5)
    spent = [found.seconds for _, found in follow(source, stream, overlap)]
    assert [i for i, s in enumerate(spent) if s["detect"] > 0] == [0, 5, 10]
    assert all(0 <= s["own"] < 0.5 and s["decode"] > 0 for s in spent)


def test_tables_have_the_frames_own_numbers() -> None:
    pytest.importorskip("pandas")
    supervision = pytest.importorskip("supervision")
    scene = Scene([walk((400, 600), (0, 0))], seconds=1)
    frames = [Frame(BLACK, index, index / 10) for index in (4, 7, 9)]

    class Three(Source):
        def frames(self) -> Iterator[Frame]:
            yield from frames

    steps = list(follow(Three("three"), PoseStream(scene.detect, scene.pose, COCO, 5)))
    table = to_dataframe(steps)
    assert table["frame"].tolist() == [4, 7, 9]
    np.testing.assert_allclose(table["time"], [0.4, 0.7, 0.9])
    assert steps[1].to_dataframe()["frame"].tolist() == [7]
    assert to_dataframe([found for _, found in steps])["frame"].tolist() == [0, 1, 2]
    one = steps[2].found.to_dataframe()
    assert (one["frame"].tolist(), one["time"].tolist()) == ([2], [0.9])
    assert "time" not in steps[0].found.poses.to_dataframe()
    assert to_dataframe(iter(steps)).equals(table)
    assert to_dataframe((s for s in steps), times=iter([1, 2, 3]))["time"].tolist() == [1, 2, 3]
    for times, message in (([1, 2], "2 times for more results"), ([1, 2, 3, 4], "4 times for 3 results")):
        with pytest.raises(InputError, match=message):
            to_dataframe(iter(steps), times)
    for alone in (steps[0], steps[0].found, steps[0].found.poses):
        with pytest.raises(InputError, match=r"results is one \w+; expected several: give \[result\]"):
            to_dataframe(alone)  # type: ignore[arg-type]
    for points in (steps[0].to_supervision(), steps[0].found.to_supervision()):
        assert isinstance(points, supervision.KeyPoints)
        assert points.data["track_id"].tolist() == [1]


def test_frames_that_nobody_took_do_not_break_the_end_of_a_program(
    photo_path: Path, tmp_path: Path
) -> None:
    """A thread inside of an engine, or of OpenCV, aborted the process in every second run."""
    program = (
        "import sys, cv2; from rtmpose_sdk import Pipeline\n"
        "steps = Pipeline(threads=1).follow([cv2.imread(sys.argv[1])] * 200)\n"
        "next(steps)"
    )
    for _ in range(4):
        command = [sys.executable, "-c", program, str(photo_path)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
