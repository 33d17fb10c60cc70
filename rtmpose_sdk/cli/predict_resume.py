"""What did an earlier run leave, and how does a video go on from there (`--resume`)?"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.json_lines import read_json_lines
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.parquet_writer import ParquetWriter
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sources import Frame, Source, StartError
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.writers import CocoWriter, CsvWriter, OpenPoseWriter, Writer, as_output_error, hold

SAME_TIME = 1e-3
"""Seconds by which a frame's time may be off from what its row says."""


@dataclass(frozen=True)
class LastFrame:
    """What is known of the last frame of a JSONL file that holds some.

    Attributes:
        row: the frame's row.
        before: number of the frame before it, -1 where there is none.
    """

    row: dict[str, Any]
    before: int

    @property
    def number(self) -> int:
        """In the source."""
        return int(self.row["frame"])

    def unlike(self, frame: Frame, before: int) -> str | None:
        """What of a source's frame of that number is not as the row says, else None.

        Args:
            frame: the source's.
            before: number of the source's frame before it, -1 where there is none.
        """
        size, time = [frame.image.shape[1], frame.image.shape[0]], float(self.row["time"])
        here, there = ("{}x{} px".format(*s) for s in (size, self.row.get("image_size", size)))
        if here != there:
            return f"its frame {self.number} is {here}, there {there}"
        if abs(frame.time - time) > SAME_TIME:
            return f"its frame {self.number} is at {frame.time:.3f} s, there at {time:.3f} s"
        if -1 not in (before, self.before) and before != self.before:
            return f"the frame before its frame {self.number} is {before}, there {self.before}"
        return None


class After(Source):
    """A source without the frames that an earlier run has done; the last of them is compared."""

    def __init__(self, source: Source, earlier: Earlier) -> None:
        super().__init__(source.name)
        self._source, self._earlier = source, earlier
        self._interrupted = False
        self.fps, self.live = source.fps, source.live
        self.length = None if source.length is None else max(source.length - earlier.count, 0)

    def frames(self) -> Iterator[Frame]:
        """The frames that come after.

        Raises:
            InputError: those before are not the frames of the earlier run.
        """
        last, before = self._earlier.last_frame, -1
        for frame in self._source if last is None else self._or_none():
            if frame.index > self._earlier.last:
                if last is not None:
                    raise self._other(f"it has no frame {last.number}")
                yield frame
            elif last is not None and frame.index == last.number:
                if unlike := last.unlike(frame, before):
                    raise self._other(unlike)
                last = None
            before = frame.index
        if last is not None and not self._interrupted:
            ends = f"its last frame is {before}, there {last.number}"
            raise self._other("it has none of them" if before < 0 else ends)

    def _or_none(self) -> Iterator[Frame]:
        """The source's frames; none where it ends before its start: then the earlier run's are missing."""
        with contextlib.suppress(StartError):
            yield from self._source

    def _other(self, what: str) -> InputError:
        return InputError(
            f"{self.name}: does not give the frames that {self._earlier.lines} was made from: {what}; "
            "--resume takes the same video and the same --start, --stride and --fps. For another, "
            "--overwrite begins anew and --out takes another folder"
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

    Attributes:
        lines: the file.
        count, time, highest: frames in it, seconds of the last one, the highest id.
        last_frame: what is known of the last one; None where it holds none.

    Raises:
        InputError: it holds results of another keypoint set.
        OutputError: another run writes there.
    """

    def __init__(self, lines: Path, keypoint_set: KeypointSet) -> None:
        self.lines, self._keypoint_set = lines, keypoint_set
        broken: list[int] = []
        self.count, self.time, self.highest = 0, -math.inf, 0
        self._latest: dict[int, dict[str, Any]] = {}
        row, numbers = None, [-1, -1]
        with as_output_error(lines), lines.open("r+b") as file:
            hold(file, lines)
            for row in read_json_lines(lines, broken.append):
                self.count += 1
                numbers = [numbers[1], row["frame"]]
                ids = [person.get("track_id", 0) for person in row["persons"]]
                self.highest = max([self.highest, *ids])
                self._latest.update(dict.fromkeys(ids, row))
            if broken:
                file.truncate(broken[0])
            self._size = file.seek(0, io.SEEK_END)
        self._row = row
        self.last_frame = None if row is None else LastFrame(row, numbers[0])
        if row is not None:
            if row.get("keypoint_set", keypoint_set.name) != keypoint_set.name:
                raise InputError(
                    f"{lines}: holds {row['keypoint_set']}, and this model gives {keypoint_set.name}; "
                    "--resume goes on with the model of the earlier run: give that, or another --out"
                )
            self.time = float(row["time"])

    @property
    def last(self) -> int:
        """Number of the last frame, -1 where there is none."""
        return -1 if self.last_frame is None else self.last_frame.number

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
            raise InputError(f"{self.lines}: frame {row['frame']}: {error}") from None

    def replay(self, writers: list[Writer]) -> None:
        """Tell those that are written anew, or may lack frames, what is known already.

        Raises:
            OutputError: another run has written since the file was read; it is held by a writer now.
        """
        if self.lines.stat().st_size != self._size:
            raise OutputError(
                f"{self.lines}: another run has just written there; wait for its end, then --resume again"
            )
        known = CsvWriter | CocoWriter | ParquetWriter | OpenPoseWriter
        tables = [w for w in writers if isinstance(w, known)]
        if not tables:
            return
        nothing = np.empty((0, 0, 3), np.uint8)
        for row in read_json_lines(self.lines):
            frame = Frame(nothing, int(row["frame"]), float(row["time"]))
            poses = self._poses(row)
            found = FrameResult(poses, frame.time, frame.index, bool(row.get("detected")), False)
            for writer in tables:
                writer.write(frame, found)
