"""Where are an artifact's files until they are whole? In a hidden folder beside it."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtmpose_sdk.errors import OutputError, RTMPoseError

MADE = "made"
_LOCK = "lock"
_UNSUPPORTED = (OSError, NotImplementedError)
"""What a lock raises on a disk that has none."""


@contextlib.contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """A folder on the same disk, for as long as it is needed; "made" in it is for the artifact's files.

    Folders that killed exports of the same artifact left are removed.

    Raises:
        OutputError: the folder, or what is made in it, cannot be written.
    """
    from filelock import FileLock

    try:
        _remove_left(out)
        with (
            tempfile.TemporaryDirectory(
                dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True
            ) as name,
            contextlib.ExitStack() as held,
        ):
            lock = FileLock(Path(name) / _LOCK)
            with contextlib.suppress(*_UNSUPPORTED):
                held.enter_context(lock)
            (Path(name) / MADE).mkdir()  # held by now: without it a folder is not looked at
            yield Path(name)
    except OutputError as error:
        hidden = re.compile(rf"{re.escape(_prefix(out))}[^/\\]+[/\\]({MADE}[/\\])?")
        raise OutputError(hidden.sub("", str(error))) from None
    except RTMPoseError:
        raise
    except OSError as error:
        raise cannot_write(out, error) from None


def cannot_write(out: Path, error: OSError) -> OutputError:
    """The error that says so, with the system's reason."""
    return OutputError(f"{out}: cannot be written ({error.strerror or error})")


def _prefix(out: Path) -> str:
    return f".{out.name}-"


def _remove_left(out: Path) -> None:
    """Remove folders that no process holds any more."""
    from filelock import FileLock, Timeout

    name = re.compile(rf"{re.escape(_prefix(out))}[a-z0-9_]{{8}}")  # as tempfile makes them
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        folders += out.parent.iterdir()
    for folder in folders:
        if not (name.fullmatch(folder.name) and (folder / MADE).is_dir()):
            continue
        with contextlib.suppress(Timeout, *_UNSUPPORTED), FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
