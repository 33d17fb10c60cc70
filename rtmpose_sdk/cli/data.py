"""`rtmpose data check`: is this data fit to learn from?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from rtmpose_sdk.cli.options import to_file
from rtmpose_sdk.errors import DataError
from rtmpose_sdk.images import DRAWN_SUFFIXES, write_image
from rtmpose_sdk.keypoint_sets import keypoint_set_named, keypoint_set_with

if TYPE_CHECKING:
    from rtmpose_sdk.training.check import DataReport
    from rtmpose_sdk.training.persons import Source

app = typer.Typer(no_args_is_help=True, help="Look at training data.")


@app.callback()
def data() -> None:
    """Look at training data."""


@app.command()
def check(
    annotations: Annotated[Path, typer.Argument(help="COCO-format annotations (json).")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; default: images/ beside the file.")
    ] = None,
    sheet_file: Annotated[
        Path | None,
        to_file(
            "--sheet", help="Write a contact sheet of labelled persons or boxes here.", kinds=DRAWN_SUFFIXES
        ),
    ] = None,
    shown: Annotated[int, typer.Option(min=0, help="Findings of each kind that are listed.")] = 3,
) -> None:
    """Look for what spoils training; exit 1 where something is found."""
    from rtmpose_sdk.training.check import check as look
    from rtmpose_sdk.training.persons import Source

    source = Source.of(annotations, images)
    shown_on = Console(stderr=True)
    # What is no terminal would get an empty line of it.
    with Progress(console=shown_on, transient=True, disable=not shown_on.is_terminal) as progress:
        report = look(source, lambda rows: progress.track(list(rows)))
    console = Console(highlight=False)
    _counts(report, console)
    if sheet_file is not None:
        _sheet(sheet_file, source, report, console)
    if not report.findings:
        console.print("nothing wrong was found")
        return
    kinds = Counter(finding.kind for finding in report.findings)
    table = Table("finding", "how many", "for example")
    for kind, count in kinds.most_common():
        examples = [f for f in report.findings if f.kind == kind][:shown]
        table.add_row(kind, str(count), escape("\n".join(f"{f.where}: {f.what}" for f in examples)))
    console.print(table)
    raise typer.Exit(1)


def _counts(report: DataReport, console: Console) -> None:
    """What is there."""
    from rtmpose_sdk.training.sides import mirror_pairs

    lines = [f"{report.pictures} pictures, {report.persons} persons, {report.labelled} with keypoints"]
    if others := report.others():
        lines.append(f"of other categories, left out: {others}")
    if report.keypoints:
        counts = ", ".join(f"{name} {count}" for name, count in report.keypoints.items())
        lines.append(f"labelled: {counts}")
    else:
        lines.append("the category names no keypoints: data for a detector")
    named = list(report.keypoints)
    if named and keypoint_set_with(named) is None:
        lines.append(mirror_pairs(keypoint_set_named("checked", named)))
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _sheet(file: Path, source: Source, report: DataReport, console: Console) -> None:
    """Draw labelled persons, or boxes where there are no keypoints.

    Raises:
        DataError: there is nothing to draw, and no finding says why.
    """
    from rtmpose_sdk.training.persons import read_keypoint_set
    from rtmpose_sdk.training.sheet import sheet

    named = list(report.keypoints)
    broken = any(finding.kind == "skeleton" for finding in report.findings)
    whole = read_keypoint_set([source]) if named and not broken else None
    drawn = keypoint_set_named("checked", named) if named and broken else whole
    try:
        write_image(file, sheet(source, drawn))
        console.print(f"contact sheet: {file}", soft_wrap=True, markup=False)
    except DataError as error:
        if not report.findings:
            raise
        console.print(f"no contact sheet: {error}", soft_wrap=True, markup=False)
