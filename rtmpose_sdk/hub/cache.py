"""Where do fetched files lie, and how do processes share them?

The folder is `RTMPOSE_HOME`, else the user's cache folder:

    files/NAME              as it was published
    files/NAME.json         its sha256 and size, recorded when it came
    unpacked/…/             archives
    converted/….onnx        artifacts made from checkpoints
    tuned/…                 artifacts and profiles of `rtmpose tune`
    locks/                  one file per name, held while that name is being made

Everything gets its final name by one rename, so that a killed process leaves nothing half-made under it.
Folders in `RTMPOSE_SHARED` are looked at first and never written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rtmpose_sdk.errors import OutputError, RTMPoseError

HOME = "RTMPOSE_HOME"
SHARED = "RTMPOSE_SHARED"
_CHUNK = 1 << 20
_FOLDERS = ("files", "unpacked", "converted", "tuned")
UNFINISHED = ".part"
_NO_PATH = (3, 206)
"""What Windows says of a path that is too long: not found, or too long."""
_SHORT = 247
"""Letters that the path of a folder may have there; a file's, twelve more."""


class Record(NamedTuple):
    """What is known about a file of the cache."""

    sha256: str
    size: int
    url: str


def home() -> Path:
    """The cache's folder; it need not exist."""
    own = os.environ.get(HOME)
    if own:
        return Path(own).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rtmpose", appauthor=False))


def shared_homes() -> list[Path]:
    """Caches that are read, but never written."""
    return [Path(p).expanduser() for p in os.environ.get(SHARED, "").split(os.pathsep) if p]


def find(*parts: str) -> Path | None:
    """A file or folder of any of the caches, else None."""
    for folder in (*shared_homes(), home()):
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    return None


def place(*parts: str) -> Path:
    """Where something new goes; its folder is made.

    Raises:
        OutputError: the cache cannot be written.
    """
    path = home().joinpath(*parts)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "no permission to write there")
    return path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while `path` is written into an error that says what to do."""
    try:
        yield
    except RTMPoseError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "the disk is full; free some space, or `rtmpose models clean`"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what = f"the cache cannot be written ({error.strerror})"
        elif getattr(error, "winerror", None) in _NO_PATH and len(str(path)) > _SHORT:
            what = f"Windows takes a path of {len(str(path))} letters only with its long paths switched on"
        else:
            what = error.strerror or str(error)
        raise OutputError(f"{path}: {what}; or set {HOME} to another folder") from None


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a name against other processes; the system frees it when a process dies.

    Raises:
        OutputError: the cache cannot be written.
    """
    from filelock import FileLock

    file = place("locks", f"{name}.lock")
    with writing(file):
        lock = FileLock(file)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sha256_of(path: Path) -> str:
    """Hash of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_record(path: Path) -> Record | None:
    """What was recorded about a file; None where nothing is, or the record is damaged."""
    try:
        raw: dict[str, Any] = json.loads(_record_file(path).read_text("utf-8"))
        return Record(str(raw["sha256"]), int(raw["size"]), str(raw["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(path: Path, record: Record) -> None:
    """Record a file's hash, by one rename."""
    target = _record_file(path)
    trial = target.with_name(f"{target.name}.{os.getpid()}{UNFINISHED}")
    with writing(target):
        trial.write_text(json.dumps(record._asdict()), "utf-8")
        trial.replace(target)


def _record_file(path: Path) -> Path:
    return path.with_name(path.name + ".json")


class Kept(NamedTuple):
    """Something in the cache: below which folder, its size in bytes."""

    path: Path
    size: int


def contents() -> list[Kept]:
    """Every file and unpacked folder of the cache, unfinished ones included, without records and locks."""
    found = []
    for folder in _FOLDERS:
        base = home() / folder
        for path in sorted(base.iterdir()) if base.is_dir() else []:
            if path.name.endswith(".json") and path.with_name(path.name[:-5]).exists():
                continue
            parts = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
            found.append(Kept(path, sum(p.stat().st_size for p in parts)))
    return found


def remove(path: Path) -> None:
    """Delete a file or folder of the cache, and its record."""
    with writing(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
            _record_file(path).unlink(missing_ok=True)
