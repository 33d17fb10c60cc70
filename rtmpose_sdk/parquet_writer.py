"""How is a Parquet file written so that its rows survive a full disk and a kill? In whole parts, joined."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtmpose_sdk.errors import MissingExtraError, OutputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.locks import rename
from rtmpose_sdk.sources import Frame
from rtmpose_sdk.writers import Writer, as_output_error, columns, rows

PART_ROWS = 1000
"""Rows of a part: what is lost at most when the run is killed."""
GROUP_ROWS = 10000
"""Rows of a row group in the joined file, about."""
_WHOLE = ("frame", "track_id")


class ParquetWriter(Writer):
    """Parquet through pyarrow: the CSV's columns with types.

    Parquet's index stands at the end of a file, and a file without it cannot be read. So rows are written
    as small whole files into a folder beside, NAME.parquet.parts, which `pandas.read_parquet` reads as one
    table; closing joins them and removes the folder.

    Raises:
        MissingExtraError: pyarrow is not installed.
        OutputError: it exists, or cannot be written; what was written is in the folder then.
    """

    def __init__(self, path: Path, keypoint_set: KeypointSet, overwrite: bool = False) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise MissingExtraError("pyarrow", "tables", "Writing Parquet") from None
        super().__init__(path, overwrite)
        self._arrow: Any = pyarrow
        self._schema = pyarrow.schema(
            [
                (name, pyarrow.int64() if name in _WHOLE else pyarrow.float64())
                for name in columns(keypoint_set)
            ]
        )
        self._parts = path.with_name(f"{path.name}.parts")
        with as_output_error(path):
            if overwrite:
                shutil.rmtree(self._parts, ignore_errors=True)
            try:
                self._parts.mkdir()
            except FileExistsError:
                if overwrite:
                    raise
                raise OutputError(
                    f"{self._parts}: holds the rows of a run that was cut short, or is under way; move it "
                    "away, or overwrite it (--overwrite)"
                ) from None
        self._rows: list[list[object]] = []
        self._count = 0
        self._open = True

    def write(self, frame: Frame, found: FrameResult) -> None:
        """Rows wait until they make a part."""
        self._rows.extend(rows(frame, found.poses))
        if len(self._rows) >= PART_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what waits, and join the parts.

        Raises:
            OutputError: there is no room for that; the parts are kept.
        """
        if not self._open:
            return
        self._open = False
        whole = self.path.with_name(f".{self.path.name}.part")
        try:
            if self._rows or not self._count:
                self._flush()
            parts = self._written()
            if len(parts) == 1:
                rename(parts[0], self.path)
            else:
                self._join(parts, whole)
                rename(whole, self.path)
        except (OSError, self._arrow.ArrowException) as error:
            with contextlib.suppress(OSError):
                whole.unlink(missing_ok=True)
            raise self._refused(error) from None
        shutil.rmtree(self._parts, ignore_errors=True)

    def _flush(self) -> None:
        """Waiting rows as a part; where there is no room for all, as many as there is room for."""
        waiting, self._rows = self._rows, []
        size = max(len(waiting), 1)
        refused: Exception | None = None
        while size and (waiting or not self._count):
            try:
                self._write_part(waiting[:size])
            except (OSError, self._arrow.ArrowException) as error:
                refused, size = error, size // 2
            else:
                waiting = waiting[size:]
        if waiting and refused is not None:
            self._open = False  # joining the parts would take room as well
            raise self._refused(refused)

    def _write_part(self, table: list[list[object]]) -> None:
        values = list(zip(*table, strict=True)) or [()] * len(self._schema)
        arrays = [
            self._arrow.array([None if v == "" else v for v in column], field.type)
            for column, field in zip(values, self._schema, strict=True)
        ]
        part = self._parts / f"{self._count:06}.parquet"
        cut = part.with_name(f".{part.name}.part")
        try:
            self._arrow.parquet.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema), cut)
            cut.replace(part)
        except Exception:
            with contextlib.suppress(OSError):
                cut.unlink(missing_ok=True)
            raise
        self._count += 1

    def _written(self) -> list[Path]:
        return [self._parts / f"{number:06}.parquet" for number in range(self._count)]

    def _join(self, parts: list[Path], whole: Path) -> None:
        with self._arrow.parquet.ParquetWriter(whole, self._schema) as writer:
            for group in self._groups(parts):
                writer.write_table(group)

    def _groups(self, parts: list[Path]) -> Iterator[Any]:
        step = GROUP_ROWS // PART_ROWS
        for start in range(0, len(parts), step):
            tables = [self._arrow.parquet.read_table(part) for part in parts[start : start + step]]
            yield self._arrow.concat_tables(tables).combine_chunks()

    def _refused(self, error: Exception) -> OutputError:
        if isinstance(error, OutputError):
            return error
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        return OutputError(
            f"{self.path}: cannot be written ({why}); what was written is kept in {self._parts}, which "
            "pandas.read_parquet reads as one table"
        )
