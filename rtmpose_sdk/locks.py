"""Is a file another process's? A lock that the system gives back, in whatever way a process ends."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


fcntl, msvcrt = _module("fcntl"), _module("msvcrt")
"""POSIX has the first, Windows the second."""
_LOCKED_BYTE = (1 << 31) - 2
"""Windows keeps others from reading what is locked: a byte that hardly any file has."""


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed; False where another process has.

    Where files cannot be locked (some network disks) nothing is held, and it is True.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            place = file.tell()
            file.seek(_LOCKED_BYTE)  # locking() begins where the file is
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            finally:
                file.seek(place)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # locks are not known here
    return True


def rename(part: Path, path: Path) -> None:
    """Give a whole file its name, in the place of an older one.

    Raises:
        PermissionError: Windows replaces no file that a program has open; its `strerror` says so.
        OSError: as the system has it.
    """
    try:
        part.replace(path)
    except PermissionError as error:
        if not path.is_file():
            raise
        why = f"{error.strerror}; is it open in another program? Close it and try again"
        raise PermissionError(error.errno, why) from None
