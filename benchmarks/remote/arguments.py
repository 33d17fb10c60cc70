"""Which words of this command line belong to the other machine's?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer

from rtmpose_sdk.errors import InputError

REMOTE_COMMAND = "rtmpose-bench"
HERE = frozenset(
    {
        *("device", "remote_command", "native", "json_file", "markdown_file", "html_file", "png_file"),
        *("baseline", "fail_if_slower", "force"),
    }
)
"""Options that say where to measure and what to do with the figures: they stay here."""
FILES = frozenset({"pose", "detector", "image"})
"""Options whose files are sent."""
NAMED_FILES = frozenset({"peer"})
"""Options that may read a file, NAME=FILE, which is not sent."""


class Option(NamedTuple):
    """An option as it was asked for: its parameter's name, its flag, its values as words."""

    name: str
    flag: str
    values: list[list[str]]


class Asked(NamedTuple):
    """What was asked for: every parameter's value, and those options that are for the other machine."""

    values: Mapping[str, Any]
    options: list[Option]

    @classmethod
    def of(cls, context: typer.Context) -> Asked:
        """Read the command line that runs now.

        Raises:
            InputError: an option with a file that is not sent.
        """
        options = []
        for parameter in context.command.params:
            name, value = parameter.name or "", context.params.get(parameter.name or "")
            source = context.get_parameter_source(name)
            given = source is not None and source.name == "COMMANDLINE"
            # The default model is sent too, so that one file is measured whatever lies there.
            if name in HERE or value is None or not (given or name == "pose"):
                continue
            flag = max(parameter.opts, key=len)
            values = list(value) if getattr(parameter, "multiple", False) else [value]
            if isinstance(value, bool):
                values = [()] if value else []
            words = [[str(word) for word in _words(v)] for v in values]
            if name in NAMED_FILES and any(_reads_here(word) for row in words for word in row):
                raise InputError(f"{flag} reads a file of this machine; it cannot be measured elsewhere")
            options.append(Option(name, flag, words))
        return cls(context.params, options)

    def command(self, send: Callable[[str, str], str]) -> list[str]:
        """The words of the other machine's command.

        Args:
            send: an option of `FILES` and its value here → the path there.
        """
        words = []
        for name, flag, values in self.options:
            for value in values:
                words += [flag, *(send(name, word) if name in FILES else word for word in value)]
        return words


def _words(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _reads_here(word: str) -> bool:
    """True for NAME=FILE of a file that is here; a bare name is none, whatever lies here under it."""
    file = word.partition("=")[2]
    return bool(file) and Path(file).exists()
