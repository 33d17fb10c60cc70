"""`rtmpose models`: what can be named, what is known about it, and the cache it lies in."""

from __future__ import annotations

import enum
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.cli.offline import offers_offline
from rtmpose_sdk.errors import DownloadError, InputError, MissingExtraError
from rtmpose_sdk.hub import cache
from rtmpose_sdk.hub.convert import CHECKPOINTS
from rtmpose_sdk.hub.download import cache_name, cached
from rtmpose_sdk.hub.integrity import check
from rtmpose_sdk.hub.table import PRESETS, FileKind, PublishedModel, published_models
from rtmpose_sdk.zoo import NAMED_MODELS, fetch_file, locate, name_published

app = typer.Typer(help="Models that can be named, and their cache.")
_MB = 1e6
_SUFFIXES = (".zip", ".onnx", *CHECKPOINTS)
_HASH = "[0-9a-f]{8,64}"
"""What the cache puts behind a name: digits of a sha256."""


class Kind(str, enum.Enum):
    """Published files."""

    ZIP = "zip"
    ONNX = "onnx"
    PTH = "pth"


class TaskName(str, enum.Enum):
    """What models do."""

    POSE = "pose"
    DETECT = "detect"
    BACKBONE = "backbone"


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """Without a command: all names."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only names that hold all of these: rtmpose 384x288.")
    ] = None,
    task: Annotated[TaskName | None, typer.Option(help="Only these.")] = None,
    keypoints: Annotated[str | None, typer.Option(help="Only this keypoint set.")] = None,
    only_cached: Annotated[bool, typer.Option("--cached", help="Only what lies in the cache.")] = False,
) -> None:
    """List the models that can be named instead of a file."""
    console = Console()
    table = Table()
    table.add_column("name", no_wrap=True)  # it is typed from here: never cut it
    for heading in ("task", "keypoints", "accuracy, %", "published as"):
        table.add_column(heading, overflow="fold")
    wanted = [w.lower() for w in words or []]
    shown = 0
    for row in published_models():
        here = any(cached(f.url) for f in row.files)
        if (
            all(w in (row.name, row.target, row.data) or w in f"{row.name} {row.data}" for w in wanted)
            and (task is None or row.task == task.value)
            and keypoints in (None, row.keypoint_set)
            and (here or not only_cached)
        ):
            accuracy = ", ".join(f"{k} {v:g}" for k, v in list(row.accuracy.items())[:1])
            kinds = ", ".join(f.kind for f in row.files) + (" (cached)" if here else "")
            table.add_row(row.name, row.task, row.keypoint_set or row.target, accuracy, kinds)
            shown += 1
    if not (wanted or task or keypoints or only_cached):
        for model in NAMED_MODELS:
            table.add_row(model.name, model.task, "", "see `info`", "bundled")
    console.print(table)
    presets = "; ".join(f"{name}: {p.pose} + {p.detector}" for name, p in PRESETS.items())
    console.print(f"{shown} published models. Presets: {presets}", soft_wrap=True, highlight=False)
    console.print(
        "Short names mean the first of the list that fits: rtmpose-m, rtmpose-m-halpe26. Besides: any "
        "file that rtmpose-export wrote, folders of training runs, MMDeploy SDK folders and archives, "
        "checkpoints.",
        soft_wrap=True,
    )


@app.command()
def info(name: Annotated[str, typer.Argument(help="A name.")]) -> None:
    """Everything that is known about a model."""
    console = Console()
    for model in NAMED_MODELS:
        if model.name == name:
            console.print(f"{model.name}, {model.task}, bundled: {model.summary}", soft_wrap=True)
            return
    row = name_published(name)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    width, height = row.input_size
    facts: dict[str, Any] = {
        "name": row.name,
        "network": row.network,
        "task": f"{row.task}, {row.target}",
        "input": f"{width}x{height} px (width x height)",
        "keypoints": row.keypoint_set,
        "trained on": row.data,
        "licence": row.license,
        "from": row.source,
        "parameters": f"{row.parameters_m:g} million" if row.parameters_m else "",
        "operations": f"{row.flops_g:g} * 10^9" if row.flops_g else "",
        **row.accuracy,
        **{f"ms, {k}": v for k, v in row.latency_ms.items()},
    }
    if row.task != "backbone":
        card = row.card()
        facts |= {
            "decoder": card.decoder,
            "colours": f"{card.color_order}, mean {card.mean}, std {card.std}",
        }
    for key, value in facts.items():
        if value != "":
            table.add_row(key, f"{value:g}" if isinstance(value, float) else str(value))
    console.print(table)
    for file in row.files:  # outside the table, which would break addresses and paths
        hashed = f"sha256 {file.sha256_prefix}…" if file.sha256_prefix else "no published hash"
        have = cached(file.url) or "not in the cache"
        typer.echo(f"{file.kind}: {file.url}\n  {hashed}; {have}")


@app.command()
@offers_offline
def download(
    names: Annotated[list[str], typer.Argument(help="Names, presets, or addresses.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder to fill instead of the cache; use it as RTMPOSE_HOME.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Another published file than the best one.")] = None,
) -> None:
    """Fetch models and make them ready, so that they run without a network."""
    if to is not None:
        os.environ[cache.HOME] = str(to)
    for name in names:
        preset = PRESETS.get(name)
        for each in [n for n in preset if n] if preset else [name]:
            typer.echo(_download(each, kind.value if kind else None))


def _download(name: str, kind: FileKind | None) -> str:
    if name.startswith(("http://", "https://")):
        return f"{name}: {locate(name).path}"
    row = name_published(name.rpartition(".")[0] if name.endswith((".zip", ".pth", ".onnx")) else name)
    file = row.file(kind) if kind or row.name else row.file()
    path = fetch_file(row, file)
    if row.task == "backbone":
        return f"{row.name}: {path}"
    try:
        return f"{row.name}: {locate(f'{row.name}.{file.kind}').path}"
    except MissingExtraError as error:
        if path.suffix not in CHECKPOINTS:
            raise
        return f"{row.name}: {path}; not converted to ONNX yet: {error}"


@app.command()
def verify() -> None:
    """Check every file of the cache against its published and recorded hash; exit 1 where one differs."""
    published = {cache_name(file.url): file for row in published_models() for file in row.files}
    checked, wrong = 0, 0
    files = cache.home() / "files"
    for path in sorted(files.rglob("*")) if files.is_dir() else []:
        if not path.is_file() or path.name.endswith((".json", cache.UNFINISHED)):
            continue
        checked += 1
        try:
            check(
                path,
                published[path.name].sha256_prefix if path.name in published else "",
                cache.read_record(path),
            )
        except DownloadError as error:
            wrong += 1
            typer.echo(f"WRONG {error}")
    typer.echo(f"{checked} files in {cache.home()}, {wrong} wrong")
    if wrong:
        raise typer.Exit(1)


@app.command()
def clean(
    names: Annotated[list[str] | None, typer.Argument(help="Only these models or files.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole cache.")] = False,
) -> None:
    """Delete what killed processes left; with names, those models; with --all, everything."""
    if names and everything:
        raise InputError("names and --all: give one of them")
    wanted = {name: _in_cache(name) for name in names or []}
    freed, found = 0, set[str]()
    for kept in cache.contents():
        unfinished = kept.path.name.endswith((cache.UNFINISHED, f"{cache.UNFINISHED}.json")) or (
            f"{cache.UNFINISHED}." in kept.path.name
        )
        of = [name for name, pattern in wanted.items() if pattern.fullmatch(kept.path.name)]
        if everything or (unfinished and not names) or of:
            cache.remove(kept.path)
            freed += kept.size
            typer.echo(f"deleted {kept.path}")
            found.update(of)
    if missing := [name for name in wanted if name not in found]:
        raise InputError(
            f"{', '.join(missing)}: not in {cache.home()}; rtmpose models list --cached says what is"
        )
    typer.echo(f"{freed / _MB:.1f} MB freed in {cache.home()}")


def _in_cache(name: str) -> re.Pattern[str]:
    """Names that a model's files and folders have in the cache.

    Raises:
        InputError: no name at all.
    """
    try:
        row: PublishedModel = name_published(name)
    except LookupError:
        return _unpublished(name)
    stems = "|".join(re.escape(Path(cache_name(file.url)).stem) for file in row.files)
    return re.compile(rf"({stems}).*")


def _unpublished(name: str) -> re.Pattern[str]:
    """A file's whole name, with or without its suffix, or what the cache made of one: NAME-HASH…"""
    file = cache_name(name) if name.startswith(("http://", "https://")) else Path(name).name
    if not file.strip():
        raise InputError(f"{name!r} is not a name; `rtmpose models list --cached` says what can be given")
    whole = Path(file).suffix in _SUFFIXES
    stem = file.removesuffix(Path(file).suffix) if whole else file
    suffix = "" if whole else f"({'|'.join(map(re.escape, _SUFFIXES))})?"
    part = rf"({re.escape(cache.UNFINISHED)}.*)?"
    return re.compile(rf"{re.escape(file)}{suffix}{part}|{re.escape(stem)}-{_HASH}([-.].*)?")


@app.command()
def where() -> None:
    """Print the cache's folder."""
    typer.echo(cache.home())
