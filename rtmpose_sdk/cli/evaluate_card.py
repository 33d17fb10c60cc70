"""`rtmpose eval --write-card`: what was measured goes into the card of the file that was measured."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from rtmpose_sdk.artifacts import card_beside, read_card
from rtmpose_sdk.card import CARD_KEY, ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.hub import cache
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.runtimes import Runtime


class Place(NamedTuple):
    """An artifact, its card, and whether the card is inside or beside it."""

    path: Path
    card: ModelCard
    inside: bool


def find_place(source: str, runtime: Runtime) -> Place:
    """Where the card is, before the work.

    Args:
        source: as it was asked for.
        runtime: of it.

    Raises:
        InputError: not a file that is an artifact itself, or none of the user's own.
        MissingExtraError: its card is inside, and what writes it is not installed.
    """
    if not Path(source).is_file() or runtime.path.resolve() != Path(source).resolve():
        raise InputError(
            f"--write-card: {source} is not an artifact itself but a name, a folder, an archive or a "
            "checkpoint; expected a file with a card (.onnx, .xml, .pt2, .param, .engine): copy or export "
            "one, and give its path"
        )
    kept = [cache.home(), *cache.shared_homes(), Path(str(resources.files("rtmpose_sdk").joinpath("data")))]
    if any(runtime.path.resolve().is_relative_to(folder.resolve()) for folder in kept):
        raise InputError(
            f"--write-card: {source} is of the cache or the package, where files stay as they came; copy "
            "it, and give the copy's path"
        )
    inside = CARD_KEY in runtime.metadata
    if inside:
        from rtmpose_sdk.exporters.extra import check_extra

        check_extra("rtmpose eval --write-card, for a card inside its file,")
    return Place(runtime.path, read_card(runtime), inside)


def accuracy_name(figure: str, annotations: Path, pictures: int, *conditions: str) -> str:
    """What a figure is of: "val_dev AP (ground-truth boxes, 212 pictures)"."""
    return f"{annotations.stem} {figure} ({', '.join([*conditions, f'{pictures} pictures'])})"


def write_accuracy(place: Place, name: str, value: float) -> None:
    """Add a figure, 0...1, to the card; an older one of this name is replaced. The artifact must be closed.

    Raises:
        InputError: the figure is none: nothing is annotated.
        OutputError: it cannot be written.
    """
    if not value >= 0:  # NaN, or COCO's -1
        raise InputError(
            f"--write-card: {name} is {value}, as nothing of it is annotated; the card is kept"
        )
    card = replace(place.card, accuracy={**place.card.accuracy, name: round(value, 4)})
    if place.inside:
        from rtmpose_sdk.exporters.writers import replace_card

        replace_card(place.path, card)
    else:
        write_bytes(card_beside(place.path), card.to_json().encode())
