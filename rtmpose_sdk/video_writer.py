"""How is a video written so that it plays even if the run is cut short? Fragmented MP4, by PyAV."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rtmpose_sdk.errors import OutputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.sources import Frame
from rtmpose_sdk.videos import import_av, reason
from rtmpose_sdk.writers import Writer

CODEC = "libx264"
CLOCK = Fraction(1, 90000)
"""Unit of the written time stamps, s: frames keep their distances in time, variable rate included."""
PIXELS = "yuv420p"
BT709, LIMITED = 1, 1
"""FFmpeg's numbers of the colours and their range that the file names, so that no player has to guess."""
FRAGMENTS = "frag_keyframe+delay_moov+default_base_moof"
FRAGMENT_SECONDS = 1
"""What is lost at most when the run is killed."""
QUALITY = {"crf": "20", "preset": "veryfast", "bf": "0"}
"""Without B-frames the file is 2 to 9 % larger, takes a quarter less time, and states its whole duration:
with them an MP4 in fragments is short by some frames of a variable rate, and players end there."""


class VideoWriter(Writer):
    """An MP4 (H.264) of the frames as they come, drawn or not; its time begins with its first frame.

    Args:
        path: the file; `.mp4`.
        fps: nominal frames per second; spaces the fragments.
        overwrite: replace it.
        threads: of the encoder; None lets it choose.

    Raises:
        MissingExtraError: PyAV is not installed.
        OutputError: it exists, or cannot be written; later: frames of another size.
    """

    def __init__(
        self,
        path: Path,
        fps: float | None,
        overwrite: bool = False,
        threads: int | None = None,
    ) -> None:
        self._av: Any = import_av()
        super().__init__(path, overwrite)
        self._fps, self._threads = fps or 30.0, threads
        self._convert: Any = self._av.video.reformatter.VideoReformatter()
        self._container: Any = None
        self._stream: Any = None
        self._size: tuple[int, int] | None = None
        self._first = 0.0
        self._last = -1

    def write(self, frame: Frame, found: FrameResult) -> None:
        """Encode one frame."""
        picture = frame.image
        size = (picture.shape[1], picture.shape[0])
        if self._size is None:
            self._size, self._first = size, frame.time  # players would show nothing until that time
            self._start(size)
        if size != self._size:
            raise OutputError(
                f"{self.path}: frame {frame.index} is {size[0]}x{size[1]} px, the video {self._size[0]}x"
                f"{self._size[1]}; a video has one size. What was written is kept; save jsonl instead"
            )
        if size[0] % 2 or size[1] % 2:  # 4:2:0 needs even sides
            picture = np.asarray(
                cv2.copyMakeBorder(picture, 0, size[1] % 2, 0, size[0] % 2, cv2.BORDER_REPLICATE), np.uint8
            )
        image = self._convert.reformat(
            self._av.VideoFrame.from_ndarray(picture, format="bgr24"),
            format=PIXELS,
            dst_colorspace="ITU709",
            dst_color_range="MPEG",
        )
        self._last = max(round((frame.time - self._first) / CLOCK), self._last + 1)
        image.pts, image.time_base = self._last, CLOCK
        self._mux(image)

    def _start(self, size: tuple[int, int]) -> None:
        try:
            self._av.Codec(CODEC, "w")
        except ValueError:
            raise OutputError(
                f"{self.path}: this FFmpeg has no encoder {CODEC}; install PyAV from PyPI (pip install "
                "av), or save jsonl instead"
            ) from None
        try:
            container = self._av.open(
                os.path.abspath(self.path),  # FFmpeg takes what stands before a colon for a protocol
                "w",
                format="mp4",
                options={"movflags": FRAGMENTS, "flush_packets": "1"},
            )
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{self.path}: cannot be written as a video ({error})") from None
        self._stream = container.add_stream(
            CODEC, rate=Fraction(self._fps).limit_denominator(1001), options=QUALITY
        )
        self._container = container
        self._stream.width, self._stream.height = size[0] + size[0] % 2, size[1] + size[1] % 2
        self._stream.pix_fmt = PIXELS
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.time_base = CLOCK
        context.gop_size = max(round(self._fps * FRAGMENT_SECONDS), 1)
        if self._threads is not None:
            context.thread_count = self._threads

    def _mux(self, image: Any) -> None:
        try:
            for packet in self._stream.encode(image):
                self._container.mux(packet)
        except (self._av.FFmpegError, OSError) as error:
            raise OutputError(
                f"{self.path}: cannot be written ({reason(error)}); what was written before is kept"
            ) from None

    def close(self) -> None:
        """Encode what waits, and end the file."""
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            for packet in self._stream.encode(None):
                container.mux(packet)
            container.close()
        except (self._av.FFmpegError, OSError) as error:
            raise OutputError(
                f"{self.path}: its end cannot be written ({reason(error)}); the part before is kept"
            ) from None
