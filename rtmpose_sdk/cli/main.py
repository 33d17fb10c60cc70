"""`rtmpose`: predict, plot, models, eval, train, data."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk._version import __version__
from rtmpose_sdk.cli.data import app as data
from rtmpose_sdk.cli.evaluate import evaluate
from rtmpose_sdk.cli.plot import plot
from rtmpose_sdk.cli.predict import predict
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.cli.train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="RTMPose on real devices.",
)
app.command()(predict)
app.command()(plot)
app.command("eval")(evaluate)
app.command()(train)
app.add_typer(data, name="data")


@app.command()
def models() -> None:
    """List the models that can be named instead of a file."""
    from rtmpose_sdk.zoo import NAMED_MODELS

    table = Table("name", "task", "what it is")
    for model in NAMED_MODELS:
        table.add_row(model.name, model.task, model.summary)
    console = Console()
    console.print(table)
    console.print(
        "Besides: any ONNX file that rtmpose-export wrote, and MMDeploy SDK folders.",
        soft_wrap=True,
    )


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rtmpose-sdk {__version__}")
        raise typer.Exit


@app.callback()
def version(
    _: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """RTMPose on real devices."""


def main() -> None:
    """Entry point of `rtmpose`."""
    run(app)
