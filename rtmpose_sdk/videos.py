"""How is a video or a network stream decoded? PyAV: exact time stamps, variable rate, rotation."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import MissingExtraError, SourceError
from rtmpose_sdk.sources import Frame, Source

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts to open a broken stream again: doubled each time."""
ATTEMPTS = 8
"""Failures in a row after which a stream is given up."""
SHORTFALL = 2
"""Frames fewer than a file announces that are no reason to speak of it: counts are often off by one."""
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def import_av() -> ModuleType:
    """PyAV.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "video", "Reading or writing a video") from None
    module: ModuleType = av
    return module


class VideoSource(Source):
    """A video file, an address, or standard input ("-").

    Args:
        address: path, address, or "-".
        fps: counts time instead of reading it.
        time_limit: seconds to wait for an address to answer.
        reopen: try a broken live stream again.
        threads: of the decoder; None lets FFmpeg choose.

    Raises:
        SourceError: it cannot be opened, or holds no video.
    """

    def __init__(
        self, address: str, fps: float | None, time_limit: float, reopen: bool, threads: int | None
    ) -> None:
        super().__init__("standard input" if address == "-" else address)
        self._address, self._fps, self._time_limit = address, fps, time_limit
        self._threads = threads
        self._is_address = "://" in address
        self._container, self._stream = self._open()
        unbounded = not self._container.duration
        self.live = self._is_address and unbounded
        self._reopen = reopen and self.live
        rate = self._stream.average_rate
        self.fps = fps or (float(rate) if rate else None)
        self._announced = int(self._stream.frames) or None
        self.length = self._announced
        if self.length is None and self._container.duration and self.fps:
            self.length = round(self._container.duration / 1e6 * self.fps)

    def _open(self) -> tuple[Any, Any]:
        av: Any = import_av()
        file: Any = sys.stdin.buffer if self._address == "-" else self._address
        if self._address != "-" and not self._is_address and Path(self._address).stat().st_size == 0:
            raise SourceError(f"{self.name}: the file is empty")
        limits = {"timeout": (self._time_limit, self._time_limit)} if self._is_address else {}
        options = {"rtsp_transport": "tcp"} if self._address.startswith("rtsp") else {}
        start = monotonic()
        try:
            container = av.open(file, options=options, **limits)
        except (av.FFmpegError, OSError, ValueError) as error:
            if self._is_address and monotonic() - start >= 0.95 * self._time_limit:
                raise SourceError(
                    f"{self.name}: no answer within {self._time_limit:g} s; check the address, or wait "
                    "longer (--time-limit)"
                ) from None
            raise SourceError(
                f"{self.name}: cannot be opened as a video ({reason(error)}); is it truncated, or "
                "something else?"
            ) from None
        if not container.streams.video:
            kinds = _kinds(container)
            container.close()
            raise SourceError(f"{self.name}: there is no video in it, only {kinds}")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            tag = stream.codec_tag if hasattr(stream, "codec_tag") else "?"
            container.close()
            raise SourceError(
                f"{self.name}: no decoder for its codec ('{tag}'); convert it first, for example to H.264"
            )
        stream.thread_type = "AUTO"
        if self._threads is not None:
            stream.codec_context.thread_count = self._threads
        return container, stream

    def frames(self) -> Iterator[Frame]:
        """All frames; a live stream that breaks is opened again.

        Raises:
            SourceError: the file is damaged or ends early, its times go back, or a stream stays broken.
        """
        failures, index, offset, last = 0, 0, 0.0, -1.0
        began = monotonic()
        while True:
            try:
                for frame in self._decode(index):
                    time = frame.time + offset
                    yield Frame(frame.image, frame.index, time)
                    index, last, failures = frame.index + 1, time, 0
                if not self._reopen:
                    return
                why = "the stream ended"
            except SourceError as error:
                if not self._reopen:
                    raise
                why = str(error)
            failures += 1
            if failures > ATTEMPTS:
                raise SourceError(f"{self.name}: given up after {ATTEMPTS} attempts ({why})")
            pause = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
            warnings.warn(f"{why}; opening it again in {pause:g} s", stacklevel=2)
            sleep(pause)
            try:
                self.close()
                self._container, self._stream = self._open()
            except SourceError:
                continue
            # Time goes on by this machine's clock where the stream's own begins anew.
            offset = max(monotonic() - began, last + 1e-3)

    def _decode(self, index: int) -> Iterator[Frame]:
        av: Any = import_av()
        from av.video.reformatter import VideoReformatter

        convert = VideoReformatter()  # one for all frames: setting it up costs as much as half a frame
        first: float | None = None
        last = -1.0
        count = 0
        step = 1 / self.fps if self.fps else 1 / 30
        try:
            for picture in self._container.decode(self._stream):
                if self._fps is not None:
                    time = count / self._fps
                else:
                    stamp = picture.time
                    if first is None:
                        first = stamp if stamp is not None else 0.0
                    time = stamp - first if stamp is not None else last + step
                    if time <= last:
                        raise SourceError(
                            f"{self.name}: time stamps go back at frame {index + count} (from {last:.3f} "
                            f"to {time:.3f} s); count frames instead (fps=..., --fps)"
                        )
                last = time
                yield Frame(_upright(picture, convert), index + count, time)
                count += 1
        except (av.FFmpegError, OSError) as error:
            raise SourceError(
                f"{self.name}: broken after {index + count} frames ({reason(error)}); the frames "
                "before it are good"
            ) from None
        if count == 0:
            raise SourceError(f"{self.name}: there is not one frame in it")
        if self._announced is not None and not self.live and count < self._announced - SHORTFALL:
            raise SourceError(
                f"{self.name}: ends after {count} of {self._announced} frames: it is truncated or damaged; "
                "the frames before are good"
            )

    def close(self) -> None:
        """Close the file or connection."""
        self._container.close()


def _upright(picture: Any, convert: Any) -> NDArray[np.uint8]:
    """(H,W,3) uint8 BGR, turned by the file's rotation flag."""
    image: NDArray[np.uint8] = convert.reformat(picture, format="bgr24").to_ndarray()
    turn = _TURNS.get(round(getattr(picture, "rotation", 0)) % 360)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)


def _kinds(container: Any) -> str:
    return ", ".join(sorted({s.type for s in container.streams})) or "nothing"


def reason(error: Exception) -> str:
    """What FFmpeg says, short."""
    return str(getattr(error, "strerror", None) or error)[:200]
