"""`rtmpose predict` on pictures: drawn ones, and one JSON of all."""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rtmpose_sdk.cli.predict_sources import common_folder
from rtmpose_sdk.cli.run import print_error
from rtmpose_sdk.cli.stopping import asked_to_stop
from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.errors import ImageError, InputError, OutputError
from rtmpose_sdk.images import DRAWN_SUFFIXES, pictures_in, read_image, write_bytes, write_image
from rtmpose_sdk.pipeline import Pipeline

RESULTS_FILE = "results.json"


def find_pictures(sources: list[str]) -> list[Path]:
    """The pictures that files, folders and globs mean, in order, each once.

    Raises:
        InputError: a source that does not exist, or a folder or glob without pictures.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source:
            raise InputError("a source is empty text; expected a picture, a folder or a glob")
        path = Path(source)
        if path.is_dir():
            files = pictures_in(path)
        elif path.exists():
            files = [path]
        elif glob.has_magic(source):
            files = [Path(p) for p in sorted(glob.glob(source, recursive=True)) if Path(p).is_file()]
            if not files:
                raise InputError(f"{source}: no file fits this pattern")
        else:
            raise InputError(f"{source}: no such file or folder")
        found.update(dict.fromkeys(files))
    return list(found)


def place_pictures(pictures: list[Path], out: Path, overwrite: bool) -> list[Path]:
    """Where each drawn picture goes; the folders below the pictures' common folder are kept.

    A link is drawn under its own name; a kind that is not written becomes a PNG.

    Raises:
        InputError: they lie on several drives.
        OutputError: one would replace a picture that is read, another one's, or what exists.
    """
    places = [Path(os.path.abspath(p)) for p in pictures]
    root = common_folder(places)
    names = [p.name if p.suffix.lower() in DRAWN_SUFFIXES else f"{p.name}.png" for p in places]
    targets = [out / p.relative_to(root).with_name(n) for p, n in zip(places, names, strict=True)]
    sources = {os.path.realpath(p) for p in pictures}
    drawn: dict[str, Path] = {}
    for picture, target in zip(pictures, targets, strict=True):
        real = os.path.realpath(target)
        if real in sources:
            raise OutputError(
                f"{out}: the drawn pictures would overwrite the sources ({target}); choose another --out"
            )
        if real in drawn:
            raise OutputError(
                f"{target}: both {drawn[real]} and {picture} would be drawn there; give them to two calls "
                "with another --out"
            )
        drawn[real] = picture
        if os.path.lexists(target) and not overwrite:
            raise OutputError(
                f"{target}: exists already; --overwrite replaces it, --out takes another folder"
            )
    return targets


def _prepare(out: Path) -> None:
    """Fail before the work, not after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder for the results ({error.strerror})") from None
    if not os.access(out, os.W_OK):
        raise OutputError(f"{out}: no permission to write there")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def predict_pictures(
    pictures: list[Path],
    targets: list[Path],
    pipeline: Pipeline,
    out: Path,
    painter: Painter,
    whole: bool,
) -> None:
    """Each picture, then the results; what cannot be read is named at the end.

    Args:
        pictures, targets: what is read, and where each is drawn.
        pipeline: finds persons and keypoints.
        out: folder of the results.
        painter: draws.
        whole: each picture is one person.

    Raises:
        OutputError: the folder or the results cannot be written.
    """
    results: list[dict[str, Any]] = []
    drawn: list[Path] = []
    errors: list[Exception] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    _prepare(out)
    console = Console(stderr=True)
    with (
        # Into a file it would write an empty line.
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        asked_to_stop() as stop,
    ):
        task = progress.add_task("predict", total=len(pictures))
        try:
            for picture, target in zip(pictures, targets, strict=True):
                if stop():
                    break
                try:
                    image = read_image(picture)
                    result = pipeline(image, "full" if whole else None)
                    results.append({"file": str(picture), **result.to_dict()})
                    write_image(target, painter(image, result))
                    drawn.append(target)
                except (ImageError, OutputError) as error:
                    errors.append(error)
                progress.advance(task)
        finally:  # an engine that fails takes nothing with it
            write_bytes(out / RESULTS_FILE, json.dumps(results, indent=1).encode())
    persons = sum(len(r["persons"]) for r in results)
    typer.echo(f"{_counted(len(results), 'picture')}, {_counted(persons, 'person')}: {out / RESULTS_FILE}")
    if len(drawn) == 1:
        typer.echo(f"drawn: {drawn[0]}")
    if stop.asked and len(results) + len(errors) < len(pictures):
        typer.echo(f"stopped; {len(pictures) - len(results) - len(errors)} pictures were not looked at")
    if errors:
        print_error(InputError(f"{len(errors)} of {len(pictures)} pictures could not be used:"))
        for each in errors:
            print_error(each)
    if stop.asked or errors:
        raise typer.Exit(130 if stop.asked else 1)
