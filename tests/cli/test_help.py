"""Every command explains itself, and its texts come out as they were written."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.cli import app as bench
from rtmpose_sdk.cli.main import app as rtmpose
from rtmpose_sdk.exporters.cli import app as export

WIDE = {"COLUMNS": "500", "TERMINAL_WIDTH": "500"}
APPS = {"rtmpose": rtmpose, "rtmpose-export": export, "rtmpose-bench": bench}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


EVERY = [
    (program, path, command)
    for program, app in APPS.items()
    for path, command in commands(typer.main.get_command(app))
]


@pytest.mark.parametrize(
    ("program", "path", "command"), EVERY, ids=[" ".join((program, *path)) for program, path, _ in EVERY]
)
def test_help_is_shown_as_it_was_written(program: str, path: tuple[str, ...], command: Any) -> None:
    shown = CliRunner().invoke(APPS[program], [*path, "--help"], env=WIDE)
    assert shown.exit_code == 0, shown.exception
    for parameter in command.params:
        text = getattr(parameter, "help", None) or ""
        # What is like [markup] would be taken for a colour, or end the program.
        assert Text.from_markup(text).plain == text.replace("\\[", "["), parameter.name
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert option in shown.stdout


def test_devices_of_the_bench_are_all_named() -> None:
    shown = CliRunner().invoke(bench, ["--help"], env=WIDE)
    assert "ssh:[user@]host[:port][/device]; adb[:serial]" in shown.stdout
