"""What is open must be closed: the `with` statement for everything that has a `close`."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

Self = TypeVar("Self", bound="Closing")


class Closing:
    """A context manager that closes itself."""

    def close(self) -> None:
        """Free what is held; nothing, where a class does not say otherwise. Closing twice is no error."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
