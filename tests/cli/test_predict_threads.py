"""Reading, drawing and writing side by side: each in its thread, ended by errors and by Ctrl-C."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk import FrameResult, PoseResult, PoseStream
from rtmpose_sdk.benchmarks.scenes import COCO, SIZE, Scene, walk
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.predict_stages import finish
from rtmpose_sdk.cli.stopping import Stop
from rtmpose_sdk.closing import Closing
from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.errors import OutputError
from rtmpose_sdk.follow import follow
from rtmpose_sdk.sources import ArraySource, Frame, Source, open_source
from rtmpose_sdk.writers import Writer

from .conftest import BIN, lines

av = pytest.importorskip("av")


def frames_of(count: int, scene: Scene) -> tuple[ArraySource, PoseStream]:
    stream = PoseStream(scene.detect, scene.pose, COCO, 5)
    return ArraySource((np.zeros((SIZE[1], SIZE[0], 3), np.uint8) for _ in range(count)), 30.0), stream


class Notes(Writer):
    """A writer that takes notes, and whose disk is full at some frame."""

    def __init__(self, full_at: int = 999) -> None:
        self.frames: list[int] = []
        self.threads: set[int] = set()
        self._full_at = full_at

    def write(self, frame: Frame, found: FrameResult) -> None:
        if frame.index == self._full_at:
            raise OutputError("disk full")
        self.frames.append(frame.index)
        self.threads.add(threading.get_ident())


def test_drawing_and_writing_have_threads_of_their_own() -> None:
    source, stream = frames_of(40, Scene([walk((30, 40), (0, 0))]))
    drawn, threads = [], set()

    def painter(image: np.ndarray, poses: PoseResult, time: float) -> np.ndarray:
        drawn.append(time)
        threads.add(threading.get_ident())
        return image + 1

    notes, stop = Notes(), Stop()
    done = list(finish(follow(source, stream, stop=stop), painter, [notes], 4, stop))
    assert notes.frames == [one.frame.index for one in done] == list(range(40))
    assert drawn == sorted(drawn)
    assert len(drawn) == 40
    assert {int(one.picture.max()) for one in done} == {1}
    here = {threading.get_ident()}
    assert len(threads | notes.threads | here) == 3
    assert all({"decode", "detect", "pose", "own", "draw", "write"} <= set(o.found.seconds) for o in done)


def test_threads_hold_for_the_decoder_and_a_shown_frame_is_drawn_once(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--threads 1 --show`, with a window that takes notes where there is no screen."""
    asked, shown, drawn = [], [], []

    class Screen(Closing):
        def __init__(self, title: str) -> None:
            pass

        def show(self, picture: np.ndarray) -> bool:
            shown.append(picture.shape)
            return len(shown) < 3  # then it is closed

    def open_and_note(*arguments: object, **options: object) -> Source:
        asked.append(options["decoder_threads"])
        return open_source(*arguments, **options)

    paint = Painter.__call__

    def paint_and_note(self: Painter, image: np.ndarray, poses: PoseResult, at: float = 0.0) -> np.ndarray:
        drawn.append(at)
        return paint(self, image, poses, at)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rtmpose_sdk.cli.window.Window", Screen)
    monkeypatch.setattr("rtmpose_sdk.cli.predict_video.open_source", open_and_note)
    monkeypatch.setattr(Painter, "__call__", paint_and_note)
    arguments = ["predict", str(clip), "--show", "--threads", "1", "--save", "video,jsonl"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert asked == [1]
    written = len(lines(tmp_path / "out" / "astronaut.jsonl"))
    assert len(drawn) == len(set(drawn)) == len(shown) == written
    assert 3 <= written < 60


def test_a_writers_error_comes_to_the_reader_and_all_threads_end() -> None:
    source, stream = frames_of(10_000, Scene([walk((30, 40), (0, 0))]))
    before, notes, stop = threading.active_count(), Notes(full_at=7), Stop()
    done = []
    with pytest.raises(OutputError, match="disk full"):
        done.extend(finish(follow(source, stream, stop=stop), None, [notes], 4, stop))
    assert notes.frames == [one.frame.index for one in done] == list(range(7))
    assert threading.active_count() == before


def test_stopping_writes_what_is_under_way() -> None:
    source, stream = frames_of(10_000, Scene([walk((30, 40), (0, 0))]))
    before, notes, stop = threading.active_count(), Notes(), Stop()
    done = []
    for one in finish(follow(source, stream, stop=stop), None, [notes], 4, stop):
        done.append(one.frame.index)
        stop.asked = stop.asked or len(done) == 5
    assert notes.frames == done == list(range(len(done)))
    assert 5 <= len(done) < 40
    assert threading.active_count() == before


def test_ctrl_c_ends_a_stream_that_gives_nothing_any_more(
    clip: Path, tmp_path: Path, started: Callable
) -> None:
    """A server that sends some frames and then falls silent, with a time limit of a minute."""
    with av.open(str(clip)) as source, av.open(str(tmp_path / "live.ts"), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(9999)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + (tmp_path / "live.ts").read_bytes())
                over.wait(120)

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/live"
        process = started(
            [
                *(str(BIN / "rtmpose"), "predict", address, "--threads", "1", "--save", "jsonl"),
                *("--time-limit", "60"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        limit = time.monotonic() + 120
        while time.monotonic() < limit and not any(p.stat().st_size for p in tmp_path.glob("out/*.jsonl")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out_text, err = process.communicate(timeout=30)
        over.set()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (file,) = tmp_path.glob("out/*.jsonl")
    assert f"stopped at frame {lines(file)[-1]['frame']}" in out_text
