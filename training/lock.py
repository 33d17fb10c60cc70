"""Does another process train in a folder? Two would write each other's files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rtmpose_sdk.errors import OutputError, TrainingError
from rtmpose_sdk.locks import try_lock

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that is this process's, see `try_lock`.

    Raises:
        TrainingError: another process holds it.
        OutputError: nothing can be written there.
    """
    try:
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error.strerror})") from None
    with file:
        if not try_lock(file):
            raise TrainingError(
                f"{folder}: another process trains in it; wait for its end or stop it, or choose "
                "another --out"
            )
        yield
