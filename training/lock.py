"""Does another process train in a folder? Two would write each other's files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rtmpose_sdk.errors import OutputError, TrainingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that is this process's; the system gives it back when the process ends in whatever way.

    Where files cannot be locked (Windows, some network disks) nothing is held.

    Raises:
        TrainingError: another process holds it.
        OutputError: nothing can be written there.
    """
    try:
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error.strerror})") from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingError(
                    f"{folder}: another process trains in it; wait for its end or stop it, or choose "
                    "another --out"
                ) from None
            except OSError:
                pass  # locks are not known here
        yield
