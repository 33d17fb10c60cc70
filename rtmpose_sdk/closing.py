"""What is open must be closed: the `with` statement for everything that has a `close`."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn, TypeVar

Self = TypeVar("Self", bound="Closing")


class Closing:
    """A context manager that closes itself."""

    def close(self) -> None:
        """Free what is held; nothing, where a class does not say otherwise. Closing twice is no error."""

    def __reduce__(self) -> NoReturn:
        """What is open cannot be pickled, nor copied."""
        raise TypeError(
            f"a {type(self).__name__} holds what is open (an engine, a file) and cannot be pickled or sent "
            "to another process; open one in each process"
        )

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
