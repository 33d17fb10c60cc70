"""Where a run shows what it does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class Progress(Protocol):
    """Where a run shows what it does."""

    def say(self, text: str) -> None:
        """One line."""

    def track(self, what: str, items: Iterable[Any]) -> Iterable[Any]:
        """A bar over items."""

    def step(self, done: int, total: int, figures: dict[str, float]) -> None:
        """So many steps of all are done."""
