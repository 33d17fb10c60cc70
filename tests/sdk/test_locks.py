"""Files that another process has, here and as Windows has them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtmpose_sdk import locks
from rtmpose_sdk.errors import OutputError
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.locks import try_lock
from rtmpose_sdk.writers import CocoWriter


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A stand-in for `msvcrt`, made of this system's locks; the positions that were locked."""
    fcntl = pytest.importorskip("fcntl")
    places: list[int] = []

    def locking(number: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        places.append(os.lseek(number, 0, os.SEEK_CUR))
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    return places


@pytest.mark.parametrize("system", ["this", "windows"])
def test_a_file_is_locked_until_it_is_closed(
    system: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if system == "windows":
        request.getfixturevalue("windows")
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("r+b") as one, path.open("ab", buffering=0) as other:
        one.seek(3)
        assert try_lock(one)
        assert not try_lock(other)
        assert (one.tell(), other.tell()) == (3, 7)
        one.write(b"T")
        other.write(b"s")
    with path.open("ab") as file:
        assert try_lock(file)
    assert path.read_bytes() == b"conTents"


def test_windows_locks_no_byte_that_somebody_reads(windows: list[int], tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        assert try_lock(file)
    assert windows == [2**31 - 2]  # the last one that every kind of seek reaches
    assert (tmp_path / "file").stat().st_size == 0


@pytest.mark.parametrize("module", ["fcntl", "msvcrt", None])
def test_a_disk_without_locks(module: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    for name in ("fcntl", "msvcrt"):
        stand_in = SimpleNamespace(flock=refuse, locking=refuse, LOCK_EX=2, LOCK_NB=4, LK_NBLCK=2)
        monkeypatch.setattr(locks, name, stand_in if name == module else None)
    with (tmp_path / "file").open("wb") as file:
        assert try_lock(file)


def test_a_file_that_a_program_has_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(part: Path, path: Path) -> None:
        raise PermissionError(errno.EACCES, "Access is denied", str(part), None, str(path))

    path = tmp_path / "out.json"
    path.write_bytes(b"old")
    writer = CocoWriter(path, overwrite=True)
    monkeypatch.setattr(Path, "replace", refuse)
    said = r"out\.json: cannot be written \(Access is denied; is it open in another program\? Close it and"
    with pytest.raises(OutputError, match=said):
        write_bytes(path, b"new")
    with pytest.raises(OutputError, match=said):
        writer.close()
    assert path.read_bytes() == b"old"
    with pytest.raises(OutputError, match=r"absent: cannot be written \(Access is denied\)"):
        write_bytes(tmp_path / "absent", b"new")
