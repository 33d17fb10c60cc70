"""Sources: each is read once whatever its kind; iterables that are live; items that are no frames."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk import PoseStream, open_source
from rtmpose_sdk.benchmarks.scenes import COCO
from rtmpose_sdk.errors import ImageError, InputError, SourceError
from rtmpose_sdk.follow import follow
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.sources import ArraySource, Source

PICTURE = np.full((48, 64, 3), 40, np.uint8)
LIMIT = 60.0


def clip(folder: Path) -> Path:
    av = pytest.importorskip("av")
    file = folder / "v.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(PICTURE, format="bgr24")))
        out.mux(stream.encode(None))
    return file


class _Camera:
    """Stands in for OpenCV's."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, *_: object) -> None:
        pass

    def read(self) -> tuple[bool, np.ndarray]:
        return True, PICTURE

    def release(self) -> None:
        pass


def pictures(folder: Path) -> Path:
    for index in range(10):
        cv2.imwrite(str(folder / f"{index}.png"), PICTURE)
    return folder


@pytest.fixture(params=["video", "part", "pictures", "list", "generator", "camera"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Source]:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: _Camera())
    makers: dict[str, Callable[[], Source]] = {
        "video": lambda: open_source(clip(tmp_path)),
        "part": lambda: open_source([PICTURE] * 10, stride=2),
        "pictures": lambda: open_source(pictures(tmp_path)),
        "list": lambda: open_source([PICTURE] * 10),
        "generator": lambda: open_source(PICTURE for _ in range(10)),
        "camera": lambda: open_source(0),
    }
    return makers[request.param]


def test_a_source_is_read_once(make: Callable[[], Source]) -> None:
    with make() as source:
        assert len(list(itertools.islice(source, 3))) == 3
        with pytest.raises(SourceError, match=r"was read already; open it again \(open_source\)"):
            iter(source)
    with pytest.raises(SourceError, match=r"is closed, and `follow` closes what it read; open it again"):
        iter(source)
    closed = make()
    closed.close()
    closed.close()  # twice is no error
    with pytest.raises(SourceError, match="is closed"):
        list(closed)


def stream() -> PoseStream:
    """Of a scene in which nobody is."""
    size = (PICTURE.shape[1], PICTURE.shape[0])
    return PoseStream(lambda _: Detections.empty(size), lambda *_: PoseResult.empty(COCO, size), COCO, 1)


@pytest.mark.parametrize("overlap", [True, False])
def test_following_a_source_again_is_an_error(overlap: bool) -> None:
    source = open_source([PICTURE] * 10)
    assert len(list(itertools.islice(follow(source, stream(), overlap), 3))) == 3
    with pytest.raises(SourceError, match="was read already"):
        list(follow(source, stream(), overlap))


def test_of_a_live_iterable_only_the_newest_frame_waits() -> None:
    """While a frame is looked at the camera makes fifty; the next one that is looked at is a new one."""
    made, done, grown = 0, False, threading.Condition()
    looked = []

    def camera() -> Iterator[np.ndarray]:
        nonlocal made
        while not done:
            with grown:
                made += 1
                grown.notify_all()
            yield np.full((48, 64, 3), (made - 1) // 100, np.uint8)

    def detect(picture: np.ndarray) -> Detections:
        looked.append(made)
        with grown:
            assert grown.wait_for(lambda: made >= looked[-1] + 50, LIMIT)
        return Detections.empty((64, 48))

    slow = PoseStream(detect, lambda *_: PoseResult.empty(COCO, (64, 48)), COCO, 1)
    with open_source(camera(), live=True) as source:
        assert source.live
        steps = list(itertools.islice(follow(source, slow), 6))
        done = True
    indices, times = [f.index for f, _ in steps], [f.time for f, _ in steps]
    assert all(b - a > 30 for a, b in itertools.pairwise(indices)), indices
    assert all(a < b for a, b in itertools.pairwise(times))  # by this machine's clock


def test_arrays_of_a_live_iterable_have_the_time_that_is_said() -> None:
    def both(source: Source) -> list[float]:
        assert source.live
        return [frame.time for frame in source]

    assert both(open_source(iter([PICTURE] * 3), fps=10, live=True)) == [0, 0.1, 0.2]

    class Camera(ArraySource):
        live = True

    assert both(Camera(iter([PICTURE] * 3), 10)) == [0, 0.1, 0.2]
    assert both(open_source(((t, PICTURE) for t in (7, 9.5)), live=True)) == [7, 9.5]


@pytest.mark.parametrize("kind", ["video", "pictures", "list", "array", "source"])
def test_what_waits_is_not_live(kind: str, tmp_path: Path) -> None:
    source: object = {
        "video": lambda: clip(tmp_path),
        "pictures": lambda: pictures(tmp_path),
        "list": lambda: [PICTURE],
        "array": lambda: np.stack([PICTURE, PICTURE]),
        "source": lambda: open_source([PICTURE]),
    }[kind]()
    with pytest.raises(InputError, match=r"live=True, but .* can be read at any pace; leave it out"):
        open_source(source, live=True)
    if isinstance(source, Source):
        assert len(list(source)) == 1  # it stays open


def test_live_is_yes_or_no() -> None:
    with pytest.raises(InputError, match="live is 'yes'; expected True or False"):
        open_source(iter([PICTURE]), live="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "item",
    [(PICTURE, PICTURE), (0.1, PICTURE, 2), (None, PICTURE), ("0.1", PICTURE), (float("nan"), PICTURE)],
)
def test_items_that_are_no_frames(item: object) -> None:
    with pytest.raises(ImageError, match=r"frame 1 is a tuple \(.*\); expected an array .* or a pair"):
        list(open_source(iter([PICTURE, item])))


def test_heic_is_named_before_a_decoder_tries_it(tmp_path: Path) -> None:
    for name in ("a.heic", "b.HEIF"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
        with pytest.raises(ImageError, match=rf"{name} is a HEIC picture.*heif-convert, pillow-heif"):
            open_source(tmp_path / name)
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    for source in (tmp_path, tmp_path / "*.he*", [tmp_path / "a.png", tmp_path / "a.heic"]):
        with pytest.raises(ImageError, match=r"a\.heic is a HEIC picture"):
            open_source(source)


def test_what_is_only_called_heic_is_read(tmp_path: Path) -> None:
    """Some programs convert a picture and keep its name."""
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    (tmp_path / "a.png").rename(tmp_path / "a.heic")
    for source in (tmp_path / "a.heic", tmp_path, tmp_path / "*"):
        with open_source(source) as opened:
            assert len(list(opened)) == 1


def test_a_generator_that_was_read_to_its_end_is_an_error() -> None:
    frames = (PICTURE for _ in range(3))
    assert len(list(open_source(frames))) == 3
    with pytest.raises(SourceError, match="this generator was read to its end already, or closed"):
        list(open_source(frames))
    half = (PICTURE for _ in range(3))
    next(iter(open_source(half)))
    assert len(list(open_source(half))) == 2  # the rest of it
    assert list(open_source(PICTURE for _ in range(0))) == []  # the first time, empty is empty


def test_a_start_after_the_end_is_an_error() -> None:
    frames = [PICTURE] * 10
    with pytest.raises(SourceError, match=r"its last frame is at 0\.900 s, before start 1 s \(--start\)"):
        list(open_source(frames, fps=10, start=1))
    assert len(list(open_source(frames, fps=10, start=0.9))) == 1
    assert list(open_source(frames, fps=1, start=0.5, end=0.9)) == []  # it ends where it was told to
    stopped = open_source(frames, fps=10, start=1)
    stopped.interrupt()
    assert list(stopped) == []  # nobody knows where it would have ended
