"""From a name, a file or a folder to a running network and the card that says how to use it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rtmpose_sdk import mmdeploy
from rtmpose_sdk.card import CARD_BESIDE, CARD_KEY, END2END_KEY, HOLDS_CARD, ModelCard, Task
from rtmpose_sdk.errors import CardError, InputError, RTMPoseWarning
from rtmpose_sdk.hub import cache
from rtmpose_sdk.hub.table import PublishedModel
from rtmpose_sdk.outputs import find_outputs, measured
from rtmpose_sdk.runtimes import Runtime, open_runtime
from rtmpose_sdk.zoo import locate, published_of

CARD_SUFFIX = ".card.json"
TWO_FILES = (".xml", ".param")
"""Graphs whose weights lie beside them in a `.bin`."""


class Model(NamedTuple):
    """An opened artifact."""

    runtime: Runtime
    card: ModelCard


def open_model(
    source: str | Path,
    task: Task,
    device: str = "cpu",
    *,
    threads: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> Model:
    """Open a model for a task.

    Args:
        source: a name of the zoo, an artifact with a card, the folder of a training run, an MMDeploy SDK
            folder or archive, a checkpoint, or an address.
        task: what it is to be used for.
        device, threads, precision, engine: see `open_runtime`.

    Raises:
        ModelNotFoundError, ModelFileError, CardError, DeviceError, MissingExtraError, DownloadError,
            OutputError: see there and `rtmpose_sdk.zoo.locate`.
        InputError: a detector where a pose model belongs, or the other way round.
    """
    named = published_of(source)
    if named is not None and named.task not in (task, "backbone"):
        raise _wrong_task(source, named.network, named.task, task)  # before it is fetched
    path, published = locate(source)
    file = mmdeploy.network_file(path) if path.is_dir() else path
    runtime = open_runtime(file, device, threads=threads, precision=precision, engine=engine)
    try:
        card = _card(path, runtime, published)
        if card.task != task:
            raise _wrong_task(source, card.name, card.task, task)
        card = _check_published(card, published, runtime)
        _check_fits(runtime, card)
        _check_beside(runtime, card)
        if card.verification.get("verified") is False:
            warnings.warn(
                f"{path}: its export did not pass the check against the PyTorch model "
                "(card: verified: false); its keypoints may be wrong. Export it again",
                RTMPoseWarning,
                stacklevel=3,
            )
    except Exception:
        runtime.close()
        raise
    return Model(runtime, card)


def _wrong_task(source: object, name: str, given: str, task: Task) -> InputError:
    what = {"pose": "a pose model", "detect": "a detector"}
    return InputError(
        f"{source} is {what[given]} ({name}), but {what[task]} is expected here; are pose= and "
        "detector= swapped?"
    )


def artifact_card(source: str | Path) -> ModelCard:
    """The card of a model, whatever its task.

    Args:
        source: as `open_model` takes it.

    Raises:
        ModelNotFoundError, ModelFileError, CardError, MissingExtraError: see there.
    """
    path, published = locate(source)
    beside = card_beside(path.absolute())
    # An engine file may need a device that this machine does not have: it is not opened.
    if path.suffix not in HOLDS_CARD and beside.is_file():
        return _read_beside(beside)
    if path.suffix.lower() in CARD_BESIDE and path.is_file():
        raise _without_card(path)
    with open_runtime(mmdeploy.network_file(path) if path.is_dir() else path) as runtime:
        return _card(path, runtime, published)


def card_beside(path: Path) -> Path:
    """Where an artifact that holds no card of its own has it."""
    return path.with_name(path.name + CARD_SUFFIX)


def _read_beside(file: Path) -> ModelCard:
    try:
        text = file.read_text("utf-8-sig")  # some editors write a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"{file}: cannot be read as text in UTF-8 ({error})") from None
    return ModelCard.from_json(text, str(file))


def _card(path: Path, runtime: Runtime, published: PublishedModel | None) -> ModelCard:
    if path.is_dir():
        origin = published.file("zip").name if published else ""
        return mmdeploy.sdk_card(
            path, runtime.outputs, runtime.inputs, origin, lambda size: measured(runtime, size)
        )
    own = CARD_KEY in runtime.metadata or card_beside(runtime.path).is_file()
    # A published file that carries no card has that of the table.
    return published.card() if published is not None and not own else read_card(runtime)


def read_card(runtime: Runtime) -> ModelCard:
    """The card inside the artifact, else in `<artifact>.card.json` beside it.

    Raises:
        CardError: there is none, or it is damaged.
    """
    kind = runtime.metadata.get(END2END_KEY)
    if kind is not None:
        raise CardError(
            f"{runtime.path}: an end2end artifact ({kind}), which takes whole pictures and needs no SDK: "
            "run it with the engine alone. Pipeline, Predictor and Detector take the network that it was "
            "made of"
        )
    beside = card_beside(runtime.path)
    if CARD_KEY in runtime.metadata:
        return ModelCard.from_json(runtime.metadata[CARD_KEY], str(runtime.path))
    if beside.is_file():
        return _read_beside(beside)
    raise _without_card(runtime.path)


def _without_card(path: Path) -> CardError:
    moved = (
        f"It is looked for in {card_beside(path).name} beside it: where the artifact was moved or renamed, "
        "move and rename its card with it. "
    ) * (path.suffix.lower() in CARD_BESIDE)
    return CardError(
        f"{path}: has no model card (input size, colour order, normalisation and decoder are unknown). "
        f"{moved}Export it with rtmpose-export, or write one: `rtmpose card new {path}`, or give the "
        "MMDeploy SDK folder that holds deploy.json and pipeline.json"
    )


def _check_published(card: ModelCard, published: PublishedModel | None, runtime: Runtime) -> ModelCard:
    """The card with what the table knows; an artifact that is something else is refused."""
    if published is None:
        return card
    known = published.card()
    for what, says, table in (
        ("input size", card.input_size, known.input_size),
        ("keypoint set", card.keypoint_set, known.keypoint_set),
    ):
        if says != table and not (what == "input size" and card.task == "detect"):
            raise CardError(
                f"{runtime.path}: its {what} is {says}, but the table of published models says {table} for "
                f"{published.name}; is it another file under this name?"
            )
    return replace(
        card,
        name=known.name,
        simcc_beta=known.simcc_beta,
        license=known.license,
        accuracy={**known.accuracy, **card.accuracy},
        weights_source=card.weights_source or known.weights_source,
    )


def _check_beside(runtime: Runtime, card: ModelCard) -> None:
    """An engine takes any `.bin` that is long enough, and computes nonsense with another model's."""
    weights = runtime.path.with_suffix(".bin")
    if not card.beside_sha256 or runtime.path.suffix not in TWO_FILES or not weights.is_file():
        return
    if cache.sha256_of(weights) != card.beside_sha256:
        raise CardError(
            f"{runtime.path}: the weights beside it, {weights.name}, are not those that it was exported "
            "with; copy both files again"
        )


def _check_fits(runtime: Runtime, card: ModelCard) -> None:
    """A card that contradicts its artifact would give wrong keypoints without an error."""
    width, height = card.input_size
    size = (height, width, 3) if card.takes_image else (3, height, width)
    spec = runtime.inputs[0]
    fits = (
        len(runtime.inputs) == 1
        and spec.dtype == card.input_dtype
        and len(spec.shape) == 4
        and all(have in (None, want) for have, want in zip(spec.shape[1:], size, strict=True))
    )
    if not fits:
        raise CardError(
            f"{runtime.path}: takes {spec}, but its card says {card.input_dtype} "
            f"(N,{','.join(map(str, size))})"
        )
    pose = card.task == "pose" and not card.takes_image
    find_outputs(measured(runtime, card.input_size) if pose else runtime.outputs, card, runtime.path)
