"""What did an earlier run leave, and how does a video go on from there (`--resume`)?"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.lines import read_lines
from rtmpose_sdk.parquet_writer import ParquetWriter
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sources import Frame, Source
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.writers import CocoWriter, OpenPoseWriter, TableWriter, Writer, hold, told

SAME_TIME = 1e-3
"""Seconds by which a frame's time may be off from what its row says."""


class LastFrame(int):
    """Number of a JSONL file's last frame, -1 where it holds none; and what else is known of that frame.

    Attributes:
        lines: the file.
        row: the frame's row.
        before: number of the frame before it, -1 where there is none.
    """

    lines: Path
    row: dict[str, Any] | None
    before: int

    def __new__(cls, lines: Path, row: dict[str, Any] | None, before: int) -> LastFrame:
        """The row's number."""
        last = super().__new__(cls, -1 if row is None else row["frame"])
        last.lines, last.row, last.before = lines, row, before
        return last

    def unlike(self, frame: Frame, before: int) -> str | None:
        """What of a source's frame of that number is not as the row says, else None.

        Args:
            frame: the source's.
            before: number of the source's frame before it, -1 where there is none.
        """
        assert self.row is not None
        size, time = [frame.image.shape[1], frame.image.shape[0]], float(self.row["time"])
        here, there = ("{}x{} px".format(*s) for s in (size, self.row.get("image_size", size)))
        if here != there:
            return f"its frame {self} is {here}, there {there}"
        if abs(frame.time - time) > SAME_TIME:
            return f"its frame {self} is at {frame.time:.3f} s, there at {time:.3f} s"
        if -1 not in (before, self.before) and before != self.before:
            return f"the frame before its frame {self} is {before}, there {self.before}"
        return None


class After(Source):
    """A source without the frames up to number `last`: so many as `done` were done before.

    They are compared with what a `LastFrame` tells of them.
    """

    def __init__(self, source: Source, last: int, done: int) -> None:
        super().__init__(source.name)
        self._source, self._last = source, last
        self._known = last if isinstance(last, LastFrame) and last.row is not None else None
        self._interrupted = False
        self.fps, self.live = source.fps, source.live
        self.length = None if source.length is None else max(source.length - done, 0)

    def frames(self) -> Iterator[Frame]:
        """The frames after `last`.

        Raises:
            InputError: those before are not the frames of the earlier run.
        """
        known, before = self._known, -1
        for frame in self._source:
            if frame.index > self._last:
                if known is not None:
                    raise self._other(known, f"it has no frame {known}")
                yield frame
            elif known is not None and frame.index == known:
                if unlike := known.unlike(frame, before):
                    raise self._other(known, unlike)
                known = None
            before = frame.index
        if known is not None and not self._interrupted:
            what = "it has none of them" if before < 0 else f"its last frame is {before}, there {known}"
            raise self._other(known, what)

    def _other(self, known: LastFrame, what: str) -> InputError:
        return InputError(
            f"{self.name}: does not give the frames that {known.lines} was made from: {what}; --resume "
            "takes the same video and the same --start, --stride and --fps. For another, --overwrite "
            "begins anew and --out takes another folder"
        )

    def interrupt(self) -> None:
        """Interrupt the source."""
        self._interrupted = True
        self._source.interrupt()


class Earlier:
    """What an earlier run left in its JSONL file; a last line that is not whole is cut off.

    Args:
        lines: the file.
        keypoint_set: of the results.

    Raises:
        InputError: it holds results of another keypoint set.
        OutputError: another run writes there.
    """

    def __init__(self, lines: Path, keypoint_set: KeypointSet) -> None:
        self._lines, self._keypoint_set = lines, keypoint_set
        broken: list[int] = []
        self.count, self.time, self.highest = 0, -math.inf, 0
        self._latest: dict[int, dict[str, Any]] = {}
        row, numbers = None, [-1, -1]
        with told(lines), lines.open("r+b") as file:
            hold(file, lines)
            for row in read_lines(lines, broken.append):
                self.count += 1
                numbers = [numbers[1], row["frame"]]
                ids = [person.get("track_id", 0) for person in row["persons"]]
                self.highest = max([self.highest, *ids])
                self._latest.update(dict.fromkeys(ids, row))
            if broken:
                file.truncate(broken[0])
            self._size = file.seek(0, io.SEEK_END)
        self._row = row
        self.last = LastFrame(lines, row, numbers[0])
        if row is not None:
            if row.get("keypoint_set", keypoint_set.name) != keypoint_set.name:
                raise InputError(
                    f"{lines}: holds {row['keypoint_set']}, and this model gives {keypoint_set.name}; "
                    "--resume goes on with the model of the earlier run: give that, or another --out"
                )
            self.time = float(row["time"])

    def restore(self, stream: PoseStream) -> None:
        """Tell a stream who was there, and who had been lost: ids go on. Smoothing begins anew."""
        if self._row is not None:
            poses = self._poses(self._row)
            stream.restore(self.count, self.time, poses, self.highest, list(self._lost()))

    def _lost(self) -> Iterator[tuple[float, PoseResult]]:
        """Whoever is not in the last row: when somebody was seen last, and how."""
        for number, row in self._latest.items():
            if number and row is not self._row:
                poses = self._poses(row)
                yield float(row["time"]), poses[poses.track_ids == number]

    def _poses(self, row: dict[str, Any]) -> PoseResult:
        try:
            return PoseResult.from_dict(row, self._keypoint_set)
        except InputError as error:
            raise InputError(f"{self._lines}: frame {row['frame']}: {error}") from None

    def replay(self, writers: list[Writer]) -> None:
        """Tell those that are written anew, or may lack frames, what is known already.

        Raises:
            OutputError: another run has written since the file was read; it is held by a writer now.
        """
        if self._lines.stat().st_size != self._size:
            raise OutputError(
                f"{self._lines}: another run has just written there; wait for its end, then --resume again"
            )
        known = TableWriter | CocoWriter | ParquetWriter | OpenPoseWriter
        tables = [w for w in writers if isinstance(w, known)]
        if not tables:
            return
        nothing = np.empty((0, 0, 3), np.uint8)
        for row in read_lines(self._lines):
            frame = Frame(nothing, int(row["frame"]), float(row["time"]))
            poses = self._poses(row)
            found = FrameResult(poses, frame.time, frame.index, bool(row.get("detected")), False)
            for writer in tables:
                writer.write(frame, found)
