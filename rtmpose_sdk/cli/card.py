"""`rtmpose card`: show a model's card, or write one for a bare network."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.artifacts import artifact_card, card_beside
from rtmpose_sdk.card import CARD_KEY
from rtmpose_sdk.card_builder import (
    NORMALIZATIONS,
    Answers,
    Question,
    better,
    build,
    look,
    questions,
    try_card,
)
from rtmpose_sdk.cli.offline import offers_offline
from rtmpose_sdk.cli.options import parse_size
from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.runtimes import open_runtime

app = typer.Typer(no_args_is_help=True, help="What a model's card says; a card for a bare network.")


class TaskName(str, enum.Enum):
    """What a network does."""

    POSE = "pose"
    DETECT = "detect"


@app.callback()
def card() -> None:
    """What a model's card says; a card for a bare network."""


@app.command()
@offers_offline
def show(
    model: Annotated[
        str, typer.Argument(help="A name, an artifact, a run's or an SDK folder, or an address.")
    ],
) -> None:
    """Print the card of a model."""
    typer.echo(artifact_card(model).to_json())


@app.command()
def new(
    model: Annotated[Path, typer.Argument(help="A network without a card (.onnx, .xml, ...).")],
    task: Annotated[TaskName | None, typer.Option(help="What it does; only checked.")] = None,
    decoder: Annotated[
        str | None, typer.Option(help="simcc, simcc3d, heatmap, rtmo, yolox, mmdeploy_dets, boxes.")
    ] = None,
    keypoints: Annotated[
        str | None, typer.Option(help="Keypoint set: a name, or a .json file that defines one.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT px of its input.")] = None,
    color: Annotated[str | None, typer.Option(help="rgb or bgr.")] = None,
    normalize: Annotated[
        str | None, typer.Option(help=f"{', '.join(NORMALIZATIONS)}; or --mean and --std.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Three numbers, 0-255 units, in its colour order: A,B,C.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Three numbers like --mean.")] = None,
    split_ratio: Annotated[float | None, typer.Option(help="SimCC bins per px.")] = None,
    beta: Annotated[
        float, typer.Option(help="1/temperature of SimCC training: RTMPose 10, RTMW 1.")
    ] = 10.0,
    padding: Annotated[
        float, typer.Option(help="Factor by which a box grows before it is cropped.")
    ] = 1.25,
    udp: Annotated[bool | None, typer.Option("--udp/--no-udp", help="Heatmap cells by UDP.")] = None,
    peak: Annotated[
        str, typer.Option(help="Heatmap peaks between cells: dark, or quarter (of a cell).")
    ] = "dark",
    pad_value: Annotated[
        int, typer.Option(min=0, max=255, help="Grey level of a detector's margin.")
    ] = 114,
    name: Annotated[str | None, typer.Option(help="Name of the network; default: the file's.")] = None,
    license_name: Annotated[
        str, typer.Option("--license", help="Licence of the weights, SPDX.")
    ] = "unknown",
    image: Annotated[
        Path | None, typer.Option(help="A picture of one person to try it on; default: ours.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a card that is there.")] = False,
) -> None:
    """Write a card beside a network: what its shapes tell, what you say, tried out on a picture."""
    target = card_beside(model)
    if target.exists() and not force:
        raise InputError(f"{target} is there already; --force replaces it")
    levels = _levels(mean, std)
    if normalize is not None and normalize not in NORMALIZATIONS:
        raise InputError(f"--normalize {normalize}; expected one of {', '.join(NORMALIZATIONS)}")
    if color not in (None, "rgb", "bgr"):
        raise InputError(f"--color {color}; expected rgb or bgr")
    given = Answers(
        decoder=decoder,
        size=parse_size(size) if size else None,
        keypoints=keypoints,
        color=color,
        normalize=levels or normalize,
        split_ratio=split_ratio,
        udp=udp,
        more={
            "bbox_padding": padding,
            "simcc_beta": beta,
            "heatmap_peak": peak,
            "pad_value": pad_value,
            "license": license_name,
        },
    )
    with open_runtime(model, "cuda" if model.suffix == ".engine" else "cpu") as runtime:
        if CARD_KEY in runtime.metadata:
            raise InputError(f"{model}: carries a card already (`rtmpose card show {model}`)")
        answers = _ask(look(runtime, given))
        made = build(answers, name or model.stem)
        if task is not None and made.task != task.value:
            raise CardError(
                f"{model}: --task {task.value}, but its outputs "
                f"({', '.join(map(str, runtime.outputs))}) are read "
                f"by '{made.decoder}', which is {made.task}"
            )
        trial = try_card(runtime, made, image)
        hints = list(better(runtime, answers, made.name, image))
    table = Table("what", "value")
    for what, value in (
        ("task", made.task),
        ("decoder", made.decoder),
        ("input", f"{made.input_size[0]}x{made.input_size[1]} {made.input_dtype}"),
        (
            "colours",
            f"{made.color_order}, mean {made.mean}, std {made.std}" if not made.takes_image else "inside",
        ),
        ("keypoints", made.keypoint_set),
        ("tried on a picture", f"confidence {trial.confidence:.2f}, {trial.found} found"),
    ):
        table.add_row(what, str(value))
    Console().print(table)
    for hint in hints:
        typer.echo(f"Are the answers right? {hint}", err=True)
    if trial.found == 0:
        typer.echo("Nothing was found in the picture: look at the answers, or give --image", err=True)
    write_bytes(target, made.to_json().encode())
    typer.echo(f"written: {target}")


def _ask(answers: Answers) -> Answers:
    """Ask a person at a terminal; elsewhere say at once all that is missing."""
    while missing := questions(answers):
        if not sys.stdin.isatty():
            raise InputError(
                "the file does not tell everything; give "
                + ", ".join(f"{q.option} ({'|'.join(q.choices) or q.text})" for q in missing)
            )
        _set(answers, missing[0], typer.prompt(f"{missing[0].text} {'/'.join(missing[0].choices)}".strip()))
    return answers


def _set(answers: Answers, question: Question, said: str) -> None:
    key = question.option.removeprefix("--").replace("-", "_")
    if (
        question.choices
        and said not in question.choices
        and not (key == "keypoints" and said.endswith(".json"))
    ):
        typer.echo(f"'{said}' is none of them")
        return
    try:
        value: object = said
        if key == "size":
            value = parse_size(said)
        elif key == "split_ratio":
            value = float(said)
        elif key == "udp":
            value = said == "yes"
    except (InputError, ValueError) as error:
        typer.echo(str(error))
        return
    setattr(answers, key, value)


def _levels(mean: str | None, std: str | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if mean is None and std is None:
        return None
    try:
        levels = [tuple(float(part) for part in str(text).split(",")) for text in (mean, std)]
    except ValueError:
        levels = []
    if len(levels) != 2 or any(len(each) != 3 for each in levels):
        raise InputError(
            f"--mean {mean} --std {std}; expected both, three numbers each: --mean 0,0,0 --std 1,1,1"
        )
    return levels[0], levels[1]
