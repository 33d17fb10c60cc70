"""Is a file another process's? A lock that the system gives back, in whatever way a process ends."""

from __future__ import annotations

from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed; False where another process has.

    Where files cannot be locked (Windows, some network disks) nothing is held, and it is True.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # locks are not known here
    return True
