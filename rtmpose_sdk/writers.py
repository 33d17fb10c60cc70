"""Where do results go? Files that grow frame by frame, in constant memory, readable however a run ends."""

from __future__ import annotations

import contextlib
import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.keypoint_sets import KeypointSet
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
            raise OutputError(
                f"{path}: exists already; choose another place, or overwrite it (--overwrite)"
            )
        with _told(path):
            (path if self._is_folder() else path.parent).mkdir(parents=True, exist_ok=True)

    def _is_folder(self) -> bool:
        return False

    @abstractmethod
    def write(self, frame: Frame, found: FrameResult) -> None:
        """Take in one frame.

        Raises:
            OutputError: it cannot be written; what was written before stays readable.
        """


class _told(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
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


class LinesWriter(Writer):
    """JSONL: one JSON object a line for each frame: frame, time (s), detected, image_size, persons.

    Args:
        path: the file.
        overwrite: replace it.
        append: go on after what it holds (`--resume`).
    """

    def __init__(self, path: Path, overwrite: bool = False, append: bool = False) -> None:
        super().__init__(path, overwrite or append)
        with _told(path):
            self._file: IO[bytes] = path.open("ab" if append else "wb", buffering=0)

    def write(self, frame: Frame, found: FrameResult) -> None:
        """One line, in one call of the system: a run that is killed leaves whole lines."""
        row = {
            "frame": frame.index,
            "time": round(frame.time, 6),
            "detected": found.detected,
            **found.poses.to_dict(),
        }
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        start, rest = self._file.tell(), memoryview(line)
        with _told(self.path):
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(start)
                raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TableWriter(Writer):
    """CSV: one row for each person and frame, columns NAME_x, NAME_y, NAME_score, NAME_confidence."""

    def __init__(self, path: Path, keypoint_set: KeypointSet, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        with _told(path):
            self._file = path.open("w", newline="", encoding="utf-8")
            self._rows = csv.writer(self._file)
            self._rows.writerow(columns(keypoint_set))
            self._file.flush()

    def write(self, frame: Frame, found: FrameResult) -> None:
        """A row for each person."""
        with _told(self.path):
            self._rows.writerows(rows(frame, found.poses))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


class CocoWriter(Writer):
    """COCO keypoint results, one JSON list; `image_id` is the frame's number, `track_id` is added.

    The list grows in a file beside it, and gets the final name when it is closed.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        self._part = path.with_name(f".{path.name}.part")
        self._open = True
        self._end = 1
        with _told(path):
            self._file = self._part.open("w+b")
            self._file.write(b"[")

    def write(self, frame: Frame, found: FrameResult) -> None:
        """An entry for each person."""
        with _told(self.path):
            for i, row in enumerate(found.poses.to_coco(frame.index)):
                if found.poses.track_ids is not None:
                    row["track_id"] = int(found.poses.track_ids[i])
                text = (b",\n" if self._end > 1 else b"\n") + json.dumps(row).encode()
                self._file.write(text)
                self._file.flush()
                self._end += len(text)

    def close(self) -> None:
        """End the list and give the file its name; an entry that was cut off by a full disk goes."""
        if not self._open:
            return
        self._open = False
        with _told(self.path):
            with contextlib.suppress(OSError):  # what was not written is not waited for
                self._file.close()
            with self._part.open("r+b") as file:
                file.truncate(self._end)
                file.seek(self._end)
                file.write(b"\n]\n")
            self._part.replace(self.path)


class OpenPoseWriter(Writer):
    """OpenPose's JSON, one file for each frame in a folder: NAME_000000000000_keypoints.json.

    `pose_keypoints_2d` is x, y, confidence of this model's keypoints in their own order.
    """

    def __init__(self, path: Path, stem: str, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        self._stem = stem

    def _is_folder(self) -> bool:
        return True

    def write(self, frame: Frame, found: FrameResult) -> None:
        """One file."""
        name = f"{self._stem}_{frame.index:012}_keypoints.json"
        write_bytes(self.path / name, json.dumps(found.poses.to_openpose()).encode())


class ParquetWriter(Writer):
    """Parquet through pyarrow: the CSV's columns with types. Gets its name when it is closed."""

    def __init__(self, path: Path, keypoint_set: KeypointSet, overwrite: bool = False) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            from rtmpose_sdk.errors import MissingExtraError

            raise MissingExtraError("pyarrow", "tables", "Writing Parquet") from None
        super().__init__(path, overwrite)
        self._arrow: Any = pyarrow
        names = columns(keypoint_set)
        whole = ("frame", "track_id")
        self._schema = pyarrow.schema(
            [(n, pyarrow.int64() if n in whole else pyarrow.float64()) for n in names]
        )
        self._part = path.with_name(f".{path.name}.part")
        self._rows: list[list[object]] = []
        self._open = True
        with _told(path):
            self._writer = pyarrow.parquet.ParquetWriter(self._part, self._schema)

    def write(self, frame: Frame, found: FrameResult) -> None:
        """Rows wait until there are some thousand."""
        self._rows.extend(rows(frame, found.poses))
        if len(self._rows) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        values = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [
            self._arrow.array([None if v == "" else v for v in column], field.type)
            for column, field in zip(values, self._schema, strict=True)
        ]
        self._rows = []
        with _told(self.path):
            self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write what waits, and give the file its name."""
        if not self._open:
            return
        self._open = False
        self._flush()
        with _told(self.path):
            self._writer.close()
            self._part.replace(self.path)


_ROW_GROUP = 5000
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


def read_lines(path: Path, on_broken: Callable[[int], None] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file that `LinesWriter` wrote.

    Args:
        path: the file.
        on_broken: called with the offset of a last line that is not whole, instead of an error.

    Raises:
        InputError: unreadable, or not such a file.
    """
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    if not (
                        isinstance(row, dict) and line.endswith(b"\n") and {"frame", "persons"} <= set(row)
                    ):
                        raise ValueError("not a frame's results")
                except ValueError as error:
                    if on_broken is not None and not line.endswith(b"\n"):
                        on_broken(offset)
                        return
                    raise InputError(f"{path}: line {number} is no result of a frame ({error})") from None
                yield row
                offset += len(line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
