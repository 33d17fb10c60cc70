"""What did an earlier run leave, and how does a video go on from there (`--resume`)?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.lines import read_lines
from rtmpose_sdk.parquet_writer import ParquetWriter
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sources import Frame, Source
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.writers import CocoWriter, OpenPoseWriter, TableWriter, Writer


class After(Source):
    """A source without the frames up to number `last`: so many as `done` were done before."""

    def __init__(self, source: Source, last: int, done: int) -> None:
        super().__init__(source.name)
        self._source, self._last = source, last
        self.fps, self.live = source.fps, source.live
        self.length = None if source.length is None else max(source.length - done, 0)

    def frames(self) -> Iterator[Frame]:
        """The frames after `last`."""
        return (frame for frame in self._source if frame.index > self._last)

    def interrupt(self) -> None:
        """Interrupt the source."""
        self._source.interrupt()


class Earlier:
    """What an earlier run left in its JSONL file; a last line that is not whole is cut off.

    Args:
        lines: the file.
        keypoint_set: of the results.

    Raises:
        InputError: it holds results of another keypoint set.
    """

    def __init__(self, lines: Path, keypoint_set: KeypointSet) -> None:
        self._lines, self._keypoint_set = lines, keypoint_set
        broken: list[int] = []
        self.count, self.last, self.time, self.highest = 0, -1, -math.inf, 0
        self._latest: dict[int, dict[str, Any]] = {}
        row = None
        for row in read_lines(lines, broken.append):
            self.count += 1
            ids = [person.get("track_id", 0) for person in row["persons"]]
            self.highest = max([self.highest, *ids])
            self._latest.update(dict.fromkeys(ids, row))
        if broken:
            with lines.open("r+b") as file:
                file.truncate(broken[0])
        self._row = row
        if row is not None:
            if row.get("keypoint_set", keypoint_set.name) != keypoint_set.name:
                raise InputError(
                    f"{lines}: holds {row['keypoint_set']}, and this model gives {keypoint_set.name}; "
                    "--resume goes on with the model of the earlier run: give that, or another --out"
                )
            self.last, self.time = int(row["frame"]), float(row["time"])

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
        """Tell those that are written anew, or may lack frames, what is known already."""
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
