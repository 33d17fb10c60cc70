"""How is a video or a network stream decoded? PyAV: exact time stamps, variable rate, rotation."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import IO, Any

from rtmpose_sdk.errors import MissingExtraError, SourceError
from rtmpose_sdk.reopening import Pause, Reopening
from rtmpose_sdk.sources import Frame, Source, is_address, without_login
from rtmpose_sdk.upright import as_shown, pixel_aspect, upright

NUDGE = 1e-3
"""Seconds after the frame before, for one that has the same time stamp: times must grow."""
_HEAD = 4096
"""Bytes of standard input that are looked at before it is read."""
PATIENCE = 1.0
"""Seconds that closing waits for a read in another thread; then that thread closes when it is back."""
SHORTFALL = 2
"""Frames fewer than a file announces that are no reason to speak of it: counts are often off by one."""
LACKING_SECONDS, LACKING_SHARE = 1.0, 0.1
"""A file that does not count its frames is cut short where more than both are missing of its duration."""
_ENDLESS = {"hls", "dash", "sdp", "mpjpeg"}
"""Formats in which the length of what an address answers says nothing about the length of the video."""


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
    """A video file, an address, or standard input ("-"). Read once.

    Args:
        address: path, address, or "-".
        fps: counts time instead of reading it.
        time_limit: seconds to wait for an address to answer.
        reopen: try a broken live stream again.
        threads: of the decoder; None lets FFmpeg choose.
        pause: waits between attempts to open it again; None sleeps, and wakes up when it is interrupted.

    Raises:
        SourceError: it cannot be opened, or holds no video.
    """

    def __init__(
        self,
        address: str,
        fps: float | None,
        time_limit: float,
        reopen: bool,
        threads: int | None,
        pause: Pause | None = None,
    ) -> None:
        super().__init__("standard input" if address == "-" else without_login(address))
        self._address, self._fps, self._time_limit = address, fps, time_limit
        self._threads = threads
        self._spool: IO[bytes] | None = None
        self._is_address = is_address(address)
        self._stopped = threading.Event()
        self._reading = threading.Lock()  # a container must not be closed while it is read
        self._again = Reopening(self.name, self._stopped, pause)
        try:
            self._container, self._stream = self._open()
        except BaseException:
            self._end_spool()
            raise
        self.live = self._is_address and not self._container.duration and not self._has_size()
        self._reopen = reopen and self.live
        rate = self._stream.average_rate
        self.fps = fps or (float(rate) if rate else None)
        self._announced = int(self._stream.frames) or None
        self.length = self._announced
        if self.length is None and self._container.duration and self.fps:
            self.length = round(self._container.duration / 1e6 * self.fps)
        self._stated = self._stated_duration()

    def _has_size(self) -> bool:
        """True where the server says how many bytes come: a file, also where its header has no duration."""
        size = self._container.size or 0  # unknown: negative, or None since PyAV 19
        return size > 0 and _ENDLESS.isdisjoint(self._container.format.name.split(","))

    def _stated_duration(self) -> float | None:
        """Seconds that a Matroska or WebM header gives the video; None where they may be the sound's."""
        container = self._container
        if not container.duration or "matroska" not in container.format.name:
            return None
        whole = float(container.duration / 1e6)
        try:
            hours, minutes, seconds = map(float, self._stream.metadata.get("DURATION", "").split(":"))
        except ValueError:
            return whole if len(container.streams) == 1 else None
        return min(3600 * hours + 60 * minutes + seconds, whole)

    def _open(self) -> tuple[Any, Any]:
        av: Any = import_av()
        file: Any = self._standard_input() if self._address == "-" else self._address
        if self._address != "-" and not self._is_address:
            file = os.path.abspath(self._address)  # FFmpeg takes what stands before a colon for a protocol
        if self._address != "-" and not self._is_address:
            path = Path(self._address)
            if path.is_file() and path.stat().st_size == 0:
                raise SourceError(f"{self.name}: the file is empty")
        limits = {"timeout": (self._time_limit, self._time_limit)} if self._is_address else {}
        options = {"rtsp_transport": "tcp"} if self._address.lower().startswith("rtsp") else {}
        start = perf_counter()
        try:
            container = av.open(file, options=options, **limits)
        except (av.FFmpegError, OSError, ValueError) as error:
            if self._is_address and perf_counter() - start >= 0.95 * self._time_limit:
                raise SourceError(
                    f"{self.name}: no answer within {self._time_limit:g} s; check the address, or wait "
                    "longer (--time-limit)"
                ) from None
            advice = "check the address" if self._is_address else "is it truncated, or something else?"
            raise SourceError(
                f"{self.name}: cannot be opened as a video ({reason(error)}); {advice}"
            ) from None
        stream = _main_stream(container)
        if stream is None:
            kinds = _kinds(container)
            container.close()
            raise SourceError(f"{self.name}: there is no video in it, only {kinds}")
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

    def _standard_input(self) -> Any:
        """Where an MP4 comes from a pipe, with its index at its end, a copy on the disk."""
        given: Any = sys.stdin.buffer
        if given.seekable() or not _index_is_last(given.peek(_HEAD)):
            return given
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - `close` ends it
        try:
            shutil.copyfileobj(given, self._spool)
        except OSError as error:
            raise SourceError(
                f"{self.name}: cannot be kept in {tempfile.gettempdir()} ({error.strerror}), as an MP4 "
                "with its index at the end has to be; give the file's name instead"
            ) from None
        self._spool.seek(0)
        return self._spool

    def _end_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()

    def frames(self) -> Iterator[Frame]:
        """All frames; a live stream that breaks is opened again.

        Raises:
            SourceError: the file is damaged or ends early, its times go back, or a stream stays broken.
        """
        index, offset, last = 0, 0.0, -1.0
        began = perf_counter()
        while True:
            try:
                for frame in self._decode(index):
                    time = frame.time + offset
                    yield Frame(frame.image, frame.index, time)
                    index, last = frame.index + 1, time
                    self._again.worked()
                why = f"{self.name}: the stream ended"
            except SourceError as error:
                if not self._reopen:
                    raise
                why = str(error)
            if not self._reopen or self._stopped.is_set():
                return
            with self._reading:
                self._container.close()
            opened = self._again.again(self._open, why)
            if opened is None:
                return
            self._container, self._stream = opened
            # Time goes on by this machine's clock where the stream's own begins anew.
            offset = max(perf_counter() - began, last + NUDGE)

    def _decode(self, index: int) -> Iterator[Frame]:
        av: Any = import_av()
        from av.video.reformatter import VideoReformatter

        convert = VideoReformatter()  # one for all frames: setting it up costs as much as half a frame
        aspect = pixel_aspect(self._stream)
        first: float | None = None
        last = stamp_before = -1.0
        end = shown = 0.0
        count = 0
        step = 1 / self.fps if self.fps else 1 / 30
        try:
            for picture in self._pictures():
                end = max(end, picture.time or 0.0)
                shown = max(shown, end + float((picture.duration or 0) * (picture.time_base or 0)))
                if self._fps is not None:
                    time = count / self._fps
                else:
                    stamp = picture.time
                    if first is None:
                        first = stamp if stamp is not None else 0.0
                    following = last + step if count else 0.0
                    time = stamp - first if stamp is not None else following
                    if time < stamp_before:
                        raise SourceError(
                            f"{self.name}: time stamps go back at frame {index + count} (from "
                            f"{stamp_before:.3f} to {time:.3f} s); count frames instead (fps=..., --fps)"
                        )
                    stamp_before = time
                    time = time if time > last else last + NUDGE
                last = time
                yield Frame(upright(picture, convert, **as_shown(picture, aspect)), index + count, time)
                count += 1
        except (av.FFmpegError, OSError) as error:
            if index + count == 0:
                advice = "did the connection break?" if self._is_address else "is it truncated, or damaged?"
                raise SourceError(
                    f"{self.name}: not one frame can be decoded ({reason(error)}); {advice}"
                ) from None
            raise SourceError(
                f"{self.name}: broken after {index + count} frames ({reason(error)}); the frames "
                "before it are good"
            ) from None
        if self._stopped.is_set():
            return
        if count == 0:
            raise SourceError(f"{self.name}: there is not one frame in it")
        where = None if self.live else self._cut(count, end, shown)
        if where is not None:
            raise SourceError(
                f"{self.name}: ends {where}: it is truncated or damaged; the frames before are good"
            )

    def _cut(self, count: int, end: float, shown: float) -> str | None:
        """Where a file ends that announces more than it holds, else None.

        Args:
            count: frames that there were.
            end: the last time stamp, s.
            shown: until when the frames are shown, s.
        """
        if self._announced is not None:
            early = count < self._announced - SHORTFALL and self._ends_early(end)
            return f"after {count} of {self._announced} frames" if early else None
        stated = self._stated or 0.0
        early = stated - shown > max(LACKING_SECONDS, LACKING_SHARE * stated)
        return f"at {shown:.1f} of {stated:.1f} s" if early else None

    def _ends_early(self, end: float) -> bool:
        """True where the last frame's time stamp, s, is before the end that the file announces.

        A file that was trimmed without encoding it anew holds frames that its edit list hides: they count
        in its number of frames, and not in its duration.
        """
        stream = self._stream
        if not stream.duration or not stream.average_rate:
            return True
        begin = float((stream.start_time or 0) * stream.time_base)
        duration = float(stream.duration * stream.time_base)
        return end - begin + (SHORTFALL + 1) / float(stream.average_rate) < duration

    def _pictures(self) -> Iterator[Any]:
        """Decoded pictures until the end, or until it is stopped."""
        pictures = self._container.decode(self._stream)
        while True:
            with self._reading:
                if self._stopped.is_set():
                    self._container.close()
                    return
                picture = next(pictures, None)
            if picture is None:
                return
            yield picture

    def interrupt(self) -> None:
        """End `frames` after the read or in the pause that it is in."""
        self._stopped.set()

    def close(self) -> None:
        """Close the file or connection; a read in another thread that hangs closes it when it is back."""
        super().close()
        self.interrupt()
        if self._reading.acquire(timeout=PATIENCE):
            try:
                self._container.close()
                self._end_spool()
            finally:
                self._reading.release()


def _index_is_last(head: bytes) -> bool:
    """True where a file begins as an MP4 or MOV whose pictures come before what says where they are."""
    place = 0
    while place + 8 <= len(head):
        size, kind = struct.unpack_from(">I4s", head, place)
        if kind == b"mdat":
            return True
        if kind not in (b"ftyp", b"free", b"skip", b"wide", b"uuid") or size < 8:
            return False
        place += size
    return False


def _main_stream(container: Any) -> Any:
    """The video that players show: of those with a decoder the default one, or the largest; no cover."""
    flags = import_av().stream.Disposition

    def rank(stream: Any) -> tuple[bool, bool, int]:
        context, default = stream.codec_context, bool(stream.disposition & flags.default)
        return context is not None, default, 0 if context is None else context.width * context.height

    films = (s for s in container.streams.video if not s.disposition & flags.attached_pic)
    return max(films, key=rank, default=None)


def _kinds(container: Any) -> str:
    kinds = {"a cover picture" if s.type == "video" else s.type for s in container.streams}
    return " and ".join(sorted(kinds)) or "nothing"


def reason(error: Exception) -> str:
    """What FFmpeg says, short."""
    return str(getattr(error, "strerror", None) or error)[:200]
