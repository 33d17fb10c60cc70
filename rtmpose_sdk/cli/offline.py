"""`--offline`, said once for every command that may fetch: no connection is opened at all."""

from __future__ import annotations

import functools
import inspect
import os
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from rtmpose_sdk.hub.download import OFFLINE

_OPTION = Annotated[bool, typer.Option("--offline", help="Open no connection: only files of the cache.")]


def offers_offline(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with the option `--offline` added to its own."""

    @functools.wraps(command)
    def run(*arguments: Any, offline: bool = False, **options: Any) -> None:
        if offline:
            os.environ[OFFLINE] = "1"
        command(*arguments, **options)

    hints = typing.get_type_hints(command, include_extras=True)
    own = inspect.signature(command)
    given = [each.replace(annotation=hints[name]) for name, each in own.parameters.items()]
    added = inspect.Parameter("offline", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_OPTION)
    run.__signature__ = own.replace(parameters=[*given, added])  # type: ignore[attr-defined]
    run.__annotations__ = {**hints, "offline": _OPTION}
    return run
