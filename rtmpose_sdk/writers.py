"""Where do results go? Files that grow frame by frame, in constant memory, readable however a run ends."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import OutputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.locks import rename, try_lock
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sources import Frame
from rtmpose_sdk.tables import BOX_COLUMNS, keypoint_columns


class Writer(Closing, ABC):
    """Takes a video's results one by one; a context manager.

    Args:
        path: the file or folder.
        overwrite: an output that exists is replaced, else it is an error.

    Raises:
        OutputError: it exists, or cannot be written.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        self.path = path
        if path.is_dir() and not self._is_folder():
            raise OutputError(f"{path}: is a folder; expected the name of a file")
        if path.exists() and not overwrite:
            raise exists_already(path)
        with as_output_error(path):
            (path if self._is_folder() else path.parent).mkdir(parents=True, exist_ok=True)

    def _is_folder(self) -> bool:
        return False

    @abstractmethod
    def write(self, frame: Frame, found: FrameResult) -> None:
        """Take in one frame.

        Raises:
            OutputError: it cannot be written; what was written before stays readable.
        """


class as_output_error(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """An OSError becomes an OutputError that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(
                f"{self._path}: cannot be written ({error.strerror or error}); what was written is kept"
            ) from None


def exists_already(path: Path) -> OutputError:
    """What to say of an output that is not to be replaced."""
    return OutputError(f"{path}: exists already; choose another place, or overwrite it (--overwrite)")


def hold(file: IO[bytes], path: Path) -> None:
    """Keep an open file from other processes, see `try_lock`.

    Raises:
        OutputError: another process holds it.
    """
    if not try_lock(file):
        raise OutputError(
            f"{path}: another run writes there; wait for its end or stop it, or choose another --out"
        )


def open_held(path: Path, overwrite: bool, append: bool = False) -> IO[bytes]:
    """A file to write, unbuffered and held; emptied once it is held, unless it is appended to.

    Raises:
        OutputError: it exists and is not to be replaced, another run writes there, or it cannot be written.
    """
    with as_output_error(path):
        try:
            file = path.open("ab" if overwrite or append else "xb", buffering=0)
        except FileExistsError:  # made since the Writer looked, by a run that began at the same time
            raise exists_already(path) from None
        try:
            hold(file, path)
            if not append:
                file.seek(0)
                file.truncate()
        except BaseException:
            file.close()
            raise
    return file


class JsonLinesWriter(Writer):
    """JSONL: one JSON object a line for each frame: frame, time (s), detected, image_size, persons.

    Args:
        path: the file.
        overwrite: replace it.
        append: go on after what it holds (`--resume`).
    """

    def __init__(self, path: Path, overwrite: bool = False, append: bool = False) -> None:
        super().__init__(path, overwrite or append)
        self._file = open_held(path, overwrite, append)

    def write(self, frame: Frame, found: FrameResult) -> None:
        """One line, in one call of the system: a run that is killed leaves whole lines."""
        row = {
            "frame": frame.index,
            "time": round(frame.time, 6),
            "detected": found.detected,
            **found.poses.to_dict(),
        }
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        with as_output_error(self.path):
            _write_whole(self._file, line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CsvWriter(Writer):
    """CSV: one row for each person and frame, columns NAME_x, NAME_y, NAME_score, NAME_confidence."""

    def __init__(self, path: Path, keypoint_set: KeypointSet, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        self._file = open_held(path, overwrite)
        with as_output_error(path):
            _write_whole(self._file, _as_csv([columns(keypoint_set)]))

    def write(self, frame: Frame, found: FrameResult) -> None:
        """A row for each person, in one call of the system: whole rows, whatever happens."""
        with as_output_error(self.path):
            _write_whole(self._file, _as_csv(rows(frame, found.poses)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _as_csv(table: Iterable[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table)
    return text.getvalue().encode()


def _write_whole(file: IO[bytes], data: bytes) -> None:
    """Append `data` to an unbuffered file; all of it, or after an OSError nothing of it."""
    start, rest = file.tell(), memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(start)
        raise


class CocoWriter(Writer):
    """COCO keypoint results, one JSON list; `image_id` is the frame's number, `track_id` is added.

    The list grows in a file beside it, and gets the final name when it is closed.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        self._part = path.with_name(f".{path.name}.part")
        self._open = True
        self._end = 1
        self._file = open_held(self._part, overwrite=True)  # what a run that was killed left there is waste
        with as_output_error(path):
            self._file.write(b"[")

    def write(self, frame: Frame, found: FrameResult) -> None:
        """An entry for each person."""
        with as_output_error(self.path):
            for i, row in enumerate(found.poses.to_coco(frame.index)):
                if found.poses.track_ids is not None:
                    row["track_id"] = int(found.poses.track_ids[i])
                text = (b",\n" if self._end > 1 else b"\n") + json.dumps(row).encode()
                _write_whole(self._file, text)
                self._end += len(text)

    def close(self) -> None:
        """End the list and give the file its name; an entry that was cut off by a full disk goes."""
        if not self._open:
            return
        self._open = False
        with as_output_error(self.path):
            self._file.close()
            with self._part.open("r+b") as file:
                file.truncate(self._end)
                file.seek(self._end)
                file.write(b"\n]\n")
            rename(self._part, self.path)


class OpenPoseWriter(Writer):
    """OpenPose's JSON, one file for each frame in a folder: NAME_000000000000_keypoints.json.

    `pose_keypoints_2d` is x, y, confidence of this model's keypoints in their own order.

    Args:
        path: the folder.
        stem: NAME.
        overwrite: replace an earlier run's files of that name; others in the folder stay.
        append: go on beside them (`--resume`).
    """

    def __init__(self, path: Path, stem: str, overwrite: bool = False, append: bool = False) -> None:
        super().__init__(path, overwrite or append)
        self._stem = stem
        if overwrite and not append:
            series = re.compile(re.escape(stem) + r"_\d{12}_keypoints\.json")
            with as_output_error(path):
                for file in path.iterdir():
                    if series.fullmatch(file.name):
                        file.unlink()

    def _is_folder(self) -> bool:
        return True

    def write(self, frame: Frame, found: FrameResult) -> None:
        """One file."""
        name = f"{self._stem}_{frame.index:012}_keypoints.json"
        write_bytes(self.path / name, json.dumps(found.poses.to_openpose()).encode())


FIXED_COLUMNS = ("frame", "time", "track_id", *BOX_COLUMNS, "box_score")


def columns(keypoint_set: KeypointSet) -> list[str]:
    """Names of a table's columns: frame, time (s), track_id, box (px), and four for each keypoint."""
    return [*FIXED_COLUMNS, *keypoint_columns(keypoint_set.names)]


def rows(frame: Frame, poses: PoseResult) -> Iterator[list[object]]:
    """A table's rows, one for each person."""
    for i in range(len(poses)):
        points = np.concatenate(
            [poses.keypoints[i], poses.keypoint_scores[i][:, None], poses.confidences[i][:, None]], axis=1
        )
        yield [
            frame.index,
            round(frame.time, 6),
            "" if poses.track_ids is None else int(poses.track_ids[i]),
            *np.round(poses.boxes[i].astype(np.float64), 2).tolist(),
            round(float(poses.box_scores[i]), 4),
            *np.round(points.reshape(-1).astype(np.float64), 4).tolist(),
        ]
