"""`--show`: a window on a real screen (Xvfb)."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest

from rtmpose_sdk import Pipeline
from rtmpose_sdk.cli.window import Window
from rtmpose_sdk.drawing import Painter

SIZE = (640, 480)


class Screen(NamedTuple):
    """Its name for programs, and the file that mirrors its pixels (xwd)."""

    display: str
    pixels: Path

    def grab(self) -> np.ndarray:
        """(H,W,3) uint8 BGR."""
        content = self.pixels.read_bytes()
        header = struct.unpack(">25I", content[:100])
        start = header[0] + 12 * header[19]
        width, height = SIZE
        return np.frombuffer(content, np.uint8, width * height * 4, start).reshape(height, width, 4)[
            :, :, :3
        ]


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    pytest.importorskip("tkinter")
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Debian's xvfb: make test-devices")
    folder = tmp_path_factory.mktemp("screen")
    reading, writing = os.pipe()
    size = f"{SIZE[0]}x{SIZE[1]}x24"
    words = ["Xvfb", "-displayfd", str(writing), "-screen", "0", size, "-fbdir", str(folder)]
    process = subprocess.Popen(words, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    yield Screen(f":{number}", folder / "Xvfb_screen0")
    process.terminate()
    process.wait()


def test_a_frame_is_shown_whole_and_in_its_colours(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray
) -> None:
    monkeypatch.setenv("DISPLAY", screen.display)
    large = cv2.resize(photo, (1200, 1000), interpolation=cv2.INTER_AREA)
    with Pipeline(threads=1) as pipeline:
        found = pipeline.stream()(large, 0.0)
    assert len(found.poses)
    drawn = Painter()(large, found.poses, 0.0)
    with Window("test") as window:
        assert window.show(drawn)
        shown = screen.grab()
        window._root.event_generate("<Key-q>")
        assert not window.show(drawn)
    # 0.85 of the screen's height, and as wide as that makes it.
    width, height = 489, 408
    want = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    place = cv2.matchTemplate(shown, want, cv2.TM_SQDIFF)
    left, top = cv2.minMaxLoc(place)[2]
    assert np.abs(shown[top : top + height, left : left + width].astype(int) - want).mean() < 2
    assert not screen.grab()[top + height // 2, left + width // 2].any()  # and taken away


def test_a_video_is_shown_and_written(screen: Screen, tmp_path: Path, photo: np.ndarray) -> None:
    file = tmp_path / "in.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(photo, format="bgr24")))
        out.mux(stream.encode(None))
    done = subprocess.run(
        [Path(sys.executable).with_name("rtmpose"), "predict", file, "--show", "--save", "jsonl"],
        cwd=tmp_path,
        env={**os.environ, "DISPLAY": screen.display},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [written] = tmp_path.rglob("*.jsonl")
    assert [json.loads(line)["frame"] for line in written.read_text().splitlines()] == [0, 1, 2, 3, 4]
