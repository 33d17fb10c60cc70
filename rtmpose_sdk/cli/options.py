"""The options that commands share, each said once."""

from __future__ import annotations

import enum
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.runtimes import check_threads
from rtmpose_sdk.zoo import UNSAID_DETECTOR, existing, models_meant


class Storage(str, enum.Enum):
    """How an artifact stores its weights."""

    FP32 = "fp32"
    FP16 = "fp16"


def detector_option(default: str) -> Any:
    """`--detector`, of a command that does this without it."""
    return typer.Option(
        "--detector",
        help=f"Detector: a name, an artifact, a run's folder, an SDK folder; {UNSAID_DETECTOR}: the "
        f"preset's, else the bundled one. Default: {default}.",
    )


Pose = Annotated[
    str,
    typer.Option(
        help="Pose model: a name (see `rtmpose models`), an artifact, a checkpoint, a run's folder, an SDK "
        "folder."
    ),
]
DetectorOption = Annotated[str | None, detector_option("none")]
DetectorSize = Annotated[
    str | None,
    typer.Option(
        "--detector-size",
        help="It gets pictures up to this size, px, where its sides are open: 256, 416x256, ... Smaller "
        "is faster, larger finds smaller persons. Default: its card's.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1, coreml, dml, gpu (OpenVINO), vulkan.")
]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="Another engine that reads the file: openvino for ONNX.")
]
PrecisionOption = Annotated[
    str | None,
    typer.Option("--precision", help="Arithmetic, where the file leaves a choice: fp32, fp16, bf16."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of the engines; default: all allowed cores.")
]


def output_file(path: Path | None) -> Path | None:
    """The file that an option names, as it is.

    Raises:
        OutputError: it could not be written; better said now than after the work.
    """
    if path is None:
        return None
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; expected the name of a file to be written")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise OutputError(f"{path}: {above} is a file; expected a folder")
    if not os.access(above, os.W_OK):
        raise OutputError(f"{path}: {above} cannot be written to; expected another folder")
    return path


def output_of_kind(path: Path | None, kinds: tuple[str, ...]) -> Path | None:
    """The same, of a kind that its suffix says.

    Raises:
        OutputError: see `output_file`; or another suffix.
    """
    output_file(path)
    if path is not None and path.suffix.lower() not in kinds:
        raise OutputError(f"{path}: is of kind '{path.suffix}'; expected {', '.join(kinds)}")
    return path


def to_file(*names: str, help: str, kinds: tuple[str, ...] = ()) -> Any:
    """An option that names a file to be written, see `output_file`; of one of `kinds`, if there are any."""
    check = functools.partial(output_of_kind, kinds=kinds) if kinds else output_file
    return typer.Option(*names, help=help, callback=lambda path: check(path))


def detector_meant(pose: str, detector: str | None) -> str | None:
    """The detector that `--detector` names; "auto" is the one of a preset, else the bundled one."""
    found = models_meant(pose, detector)[1]
    return None if found is None else str(found)


def refuse_same_file(files: Iterable[tuple[str, Path | None]]) -> None:
    """Two outputs in one file would keep only one of them.

    Args:
        files: the options' names, and what they name.

    Raises:
        OutputError: two name one file, also by different words (a link, `x/../`).
    """
    taken: dict[str, str] = {}
    for option, file in files:
        if file is None:
            continue
        real = os.path.normcase(os.path.realpath(file))
        if real in taken:
            raise OutputError(
                f"{file}: {taken[real]} and {option} would both be written there; give them two names"
            )
        taken[real] = option


def refuse_replacing(written: Iterable[Path | None], read: Iterable[tuple[str, str | Path | None]]) -> None:
    """What is read would be lost.

    Args:
        written: files that are asked for.
        read: what they must not be, in a word, and its name or path.

    Raises:
        OutputError: one of them holds it.
    """
    sources = [(what, existing(source)) for what, source in read if source is not None]
    for file in written:
        for what, there in sources:
            if file is not None and there is not None and file.resolve() == there.resolve():
                raise OutputError(f"{file}: holds the {what}; expected another file to be written")


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that would be passed over, also where they say what the default says.

    Args:
        context: of the command that runs.
        names: of its parameters.
        why: what they are for, or what to do; it comes after the options' names.

    Raises:
        InputError: one was given on the command line.
    """
    parameters = {parameter.name: parameter for parameter in context.command.params}
    given = []
    for name in names:
        parameter, source = parameters[name], context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        if parameter.param_type_name == "argument":
            given.append(name.upper())
        else:
            negated = parameter.secondary_opts if context.params.get(name) is False else []
            given.append(max(negated or parameter.opts, key=len))
    if given:
        raise InputError(f"{', '.join(given)}: {why}")


def limit_opencv(threads: int | None) -> None:
    """Hold OpenCV to the number of threads that was asked for; it would take every core.

    Raises:
        InputError: a number that cannot be: OpenCV would start a hundred thousand.
    """
    check_threads(threads)
    if threads is not None:
        cv2.setNumThreads(threads)


def parse_size(text: str, square: bool = False) -> tuple[int, int]:
    """Read a size: "192x256" → (192, 256), width first; where squares are usual, "320" → (320, 320).

    Raises:
        InputError: not two positive numbers, or one.
    """
    parts = text.lower().split("x")
    count_fits = len(parts) == 2 or (square and len(parts) == 1)
    if not count_fits or not all(p.isdigit() and int(p) for p in parts):
        one = ", or one number for a square" if square else ""
        raise InputError(f"size '{text}'; expected WIDTHxHEIGHT in px, for example 192x256{one}")
    return int(parts[0]), int(parts[-1])
