"""`rtmpose`: predict, plot, models, card, export, eval, tune, compare, train, data, web."""

from __future__ import annotations

import typer

from rtmpose_sdk._version import __version__
from rtmpose_sdk.cli.card import app as card
from rtmpose_sdk.cli.compare import compare
from rtmpose_sdk.cli.data import app as data
from rtmpose_sdk.cli.evaluate import evaluate
from rtmpose_sdk.cli.models import app as models
from rtmpose_sdk.cli.offline import offers_offline
from rtmpose_sdk.cli.plot import plot
from rtmpose_sdk.cli.predict import predict
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.cli.train import train
from rtmpose_sdk.cli.tune import tune
from rtmpose_sdk.cli.web import web
from rtmpose_sdk.exporters.cli import export

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="RTMPose on real devices.",
)
app.command("predict")(offers_offline(predict))
app.command()(plot)
app.command("web")(offers_offline(web))
app.command("eval")(offers_offline(evaluate))
app.command("tune")(offers_offline(tune))
app.command("compare")(offers_offline(compare))
app.command("train")(offers_offline(train))
app.add_typer(data, name="data")
app.add_typer(models, name="models")
app.add_typer(card, name="card")
app.command("export")(export)


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
