"""Where do frames come from? Files, pictures, cameras, streams, arrays: all become frames with a time."""

from __future__ import annotations

import glob
import inspect
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import ImageError, InputError, SourceError
from rtmpose_sdk.images import (
    HEIC_SUFFIXES,
    IMAGE_SUFFIXES,
    as_bgr,
    check_no_heic,
    is_picture,
    natural_order,
    read_image,
)
from rtmpose_sdk.values import is_number, is_whole

LEAST_FPS, MOST_FPS = 1e-3, 1e5
"""Frames per second: from one in a quarter of an hour to high-speed cameras."""
PICTURES_FPS = 30.0
"""Pictures and arrays come without time; so many make a second unless it is said."""
URL_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")

_ROUNDING = 1e-6
"""Seconds by which a time stamp may be off: 0.2 may be 0.19999999999999998, and is written as 0.2."""


def without_login(address: str) -> str:
    """An address as it may be shown: rtsp://user:password@host is rtsp://host."""
    return re.sub(r"^([A-Za-z]+://)[^/?#]*@", r"\1", address)


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        image: (H,W,3) uint8 BGR, upright.
        index: number in the source, from 0; it counts frames that are left out too.
        time: seconds since the source's first frame.
    """

    image: NDArray[np.uint8]
    index: int
    time: float


class Source(Closing, ABC):
    """Frames in order; a context manager. Each is read once, whatever its kind: open it again after that.

    Attributes:
        name: what to call it.
        live: it does not wait for us: who reads slowly misses frames.
        waits: its next frame may never come.
        fps: nominal frames per second, where known.
        length: number of frames to come, where known (an estimate for some files).
    """

    live = False
    waits = False
    _begun = False
    _closed = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.fps: float | None = None
        self.length: int | None = None

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """All frames, from the beginning. Called once, by iterating over the source."""

    def __iter__(self) -> Iterator[Frame]:
        """All frames, once.

        Raises:
            SourceError: it was read already, or is closed.
        """
        if self._closed or self._begun:
            why = "is closed, and `follow` closes what it read" if self._closed else "was read already"
            raise SourceError(
                f"{self.name}: this source {why}; open it again (open_source) for another pass"
            )
        self._begun = True
        return self.frames()

    def close(self) -> None:
        """Free what is held; it cannot be read any more. Closing twice is no error."""
        self._closed = True

    def interrupt(self) -> None:
        """Ask `frames` in another thread to end: it wakes up from pauses. Nothing, where it never waits."""


class PictureSource(Source):
    """Picture files as the frames of one video."""

    def __init__(self, name: str, files: list[Path], fps: float) -> None:
        super().__init__(name)
        self._files = files
        self.fps, self.length = fps, len(files)

    def frames(self) -> Iterator[Frame]:
        """One frame for each file."""
        assert self.fps is not None
        for index, file in enumerate(self._files):
            yield Frame(read_image(file), index, index / self.fps)


class ArraySource(Source):
    """Any iterable of arrays (H,W,3), or of pairs (seconds, array).

    Args:
        items: the arrays.
        fps: of arrays that come without seconds; None times them by this machine's clock.
        live: each item is the newest when it is asked for; a list, tuple or array never is.
    """

    def __init__(self, items: Iterable[object], fps: float | None, live: bool = False) -> None:
        super().__init__("arrays")
        self._items = items
        self._lasting = isinstance(items, list | tuple | np.ndarray)
        self.waits = not self._lasting
        self.live = (live or self.live) and not self._lasting  # a subclass may say so, too
        self.fps = fps

    def frames(self) -> Iterator[Frame]:
        """One frame for each item.

        Raises:
            ImageError: an item is neither such an array nor a pair.
            SourceError: a generator that was read to its end, or closed: it has nothing to give.
        """
        if inspect.isgenerator(self._items) and inspect.getgeneratorstate(self._items) == "GEN_CLOSED":
            raise SourceError(
                f"{self.name}: this generator was read to its end already, or closed, and gives nothing "
                "more; make a new one for another pass"
            )
        start: float | None = None
        for index, item in enumerate(self._items):
            now = perf_counter()
            start = now if start is None else start
            time, image = now - start if self.fps is None else index / self.fps, item
            if isinstance(item, tuple):
                if len(item) != 2 or not is_number(item[0]):
                    given = ", ".join(type(part).__name__ for part in item)
                    raise ImageError(
                        f"frame {index} is a tuple ({given}); expected an array (H,W,3) uint8 BGR, or a "
                        "pair (seconds, array)"
                    )
                time, image = float(item[0]), item[1]
            picture = as_bgr(image, f"frame {index}")
            # Who makes frames one by one may reuse one array, and we read ahead.
            if not self._lasting and isinstance(image, np.ndarray) and np.may_share_memory(picture, image):
                picture = picture.copy()
            yield Frame(picture, index, time)


class StartError(SourceError):
    """A part would begin after its source's end."""


class Part(Source):
    """A part of another source: from `start` to `end` seconds, every `stride`-th frame."""

    def __init__(self, source: Source, start: float, end: float, stride: int) -> None:
        super().__init__(source.name)
        self._source, self._start, self._end, self._stride = source, start, end, stride
        self._interrupted = False
        self.live, self.waits = source.live, source.waits
        self.fps = source.fps / stride if source.fps else None
        if source.length is not None and source.fps:
            last = min(end, source.length / source.fps)
            self.length = max(math.ceil((last - start) * source.fps / stride), 0)

    def frames(self) -> Iterator[Frame]:
        """The chosen frames; they keep their numbers and times.

        Raises:
            StartError: the source ends before `start`.
        """
        chosen, last = 0, None
        for frame in self._source:
            last = frame.time
            if frame.time >= self._end - _ROUNDING:
                return
            if frame.time >= self._start - _ROUNDING:
                if chosen % self._stride == 0:
                    yield frame
                chosen += 1
        if chosen == 0 and last is not None and not self._interrupted:
            raise StartError(
                f"{self.name}: its last frame is at {last:.3f} s, before start {self._start:g} s "
                "(--start); begin earlier"
            )

    def interrupt(self) -> None:
        """Interrupt the source."""
        self._interrupted = True
        self._source.interrupt()

    def close(self) -> None:
        """Close the source."""
        self._interrupted = True
        super().close()
        self._source.close()


def open_source(
    source: object,
    fps: float | None = None,
    start: float = 0.0,
    end: float = math.inf,
    stride: int = 1,
    time_limit: float = 10.0,
    reopen: bool = True,
    decoder_threads: int | None = None,
    *,
    live: bool = False,
) -> Source:
    """Open whatever gives frames. What it returns is read once: a second pass needs a second source.

    Args:
        source: a video file; a folder or a glob of pictures, or a list of picture files, as the frames of
            one video in natural order (2 before 10); a camera's number; an address (rtsp://, http://,
            ...); "-" for standard input; any iterable of arrays (H,W,3) uint8 BGR or of pairs (seconds,
            array).
        fps: counts time instead of reading it: frame n is at n / fps seconds. Pictures and arrays have
            no other time.
        start, end: seconds; frames before and from there on are left out.
        stride: every so many frames.
        time_limit: seconds to wait for an address to answer, or for a camera's next picture.
        reopen: try a broken live stream or a lost camera again, with growing pauses.
        decoder_threads: threads of the video decoder; None lets it choose.
        live: an iterable gives its newest frame whenever it is asked, as a camera does: `follow` drops
            those that it has no time for, instead of lagging behind. Arrays without seconds are then timed
            by this machine's clock where no fps are given. Cameras and live addresses need no saying.

    Raises:
        SourceError: it cannot be opened; while it is read: it ends before `start`, or is damaged.
        ImageError: it is, or holds, a HEIC picture.
        InputError: an option that cannot be.
        MissingExtraError: videos need the extra `video`.
    """
    times = is_number(start) and (is_number(end) or end == math.inf)
    if not is_whole(stride, 1) or not times or not 0 <= start < end:
        raise InputError(
            f"start {start!r} s, end {end!r} s, stride {stride!r}; expected 0 <= start < end and a whole "
            "stride >= 1"
        )
    if fps is not None and not (is_number(fps) and LEAST_FPS <= fps <= MOST_FPS):
        raise InputError(f"fps is {fps!r}; expected a number from {LEAST_FPS:g} to {MOST_FPS:g}")
    if not isinstance(live, bool):
        raise InputError(f"live is {live!r:.60}; expected True or False")
    opened = _open(source, fps, time_limit, reopen, decoder_threads, live)
    if live and not opened.live:
        if opened is not source:
            opened.close()
        raise InputError(
            f"live=True, but {opened.name} can be read at any pace; leave it out. It is for an iterable "
            "that always gives its newest frame, such as a generator over a camera"
        )
    if start > 0 or end < math.inf or stride > 1:
        return Part(opened, start, end, stride)
    return opened


def _open(
    source: object,
    fps: float | None,
    time_limit: float,
    reopen: bool,
    decoder_threads: int | None,
    live: bool,
) -> Source:
    if isinstance(source, Source):
        return source
    if isinstance(source, int) or (isinstance(source, str) and is_camera(source)):
        from rtmpose_sdk.camera import CameraSource

        return CameraSource(int(source), time_limit, reopen)
    if (
        isinstance(source, list | tuple)
        and source
        and all(isinstance(p, str | os.PathLike) for p in source)
    ):
        return _pictures([Path(p) for p in source], f"{len(source)} files", fps)
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, np.ndarray) and source.ndim < 4:
            raise InputError(
                f"a source is one array of shape {source.shape}; expected several pictures: (N,H,W,3), or "
                "a list"
            )
        if not isinstance(source, Iterable):
            raise InputError(f"a source is a {type(source).__name__}; expected a path, a number or arrays")
        return ArraySource(source, fps or (None if live else PICTURES_FPS), live)
    text = os.fspath(source)
    if text == "-" or is_address(text):
        from rtmpose_sdk.videos import VideoSource

        return VideoSource(text, fps, time_limit, reopen, decoder_threads)
    path = Path(text)
    if path.is_dir() or (glob.has_magic(text) and not path.exists()):
        found = glob.glob(text, recursive=True) if not path.is_dir() else path.iterdir()
        return _pictures([Path(p) for p in found], text, fps)
    if not path.exists():
        raise SourceError(f"{text}: no such file or folder")
    if is_heic(path):
        check_no_heic(path)
    if is_heic(path) or is_picture(path):
        return PictureSource(text, [path], fps or PICTURES_FPS)
    from rtmpose_sdk.videos import VideoSource

    return VideoSource(text, fps, time_limit, reopen, decoder_threads)


def is_heic(path: Path) -> bool:
    """True where a file's name says that it is HEIC, as phones take; its content may be another picture."""
    return path.suffix.lower() in HEIC_SUFFIXES


def is_camera(text: str) -> bool:
    """True for a camera's number; a file or folder of that name goes first."""
    return text.isdigit() and not Path(text).exists()


def is_address(text: str) -> bool:
    """True for rtsp://, http:// and the like, in whatever case."""
    return text.lower().startswith(URL_SCHEMES)


def _pictures(files: list[Path], name: str, fps: float | None) -> PictureSource:
    """Those of the files that are pictures, in natural order.

    Raises:
        SourceError: there are none.
        ImageError: one is a HEIC picture; without it the video would lack frames.
    """
    pictures = sorted((file for file in files if is_picture(file) or is_heic(file)), key=natural_order)
    for file in filter(is_heic, pictures):
        check_no_heic(file)
    if not pictures:
        raise SourceError(
            f"{name}: no pictures there; expected files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return PictureSource(name, pictures, fps or PICTURES_FPS)
