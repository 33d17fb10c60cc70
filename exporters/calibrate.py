"""Which real pictures tell an int8 export how large its activations get?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.coco import person_boxes, person_category, read_annotations
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.crops import Images, cut
from rtmpose_sdk.images import is_picture, natural_order, read_image
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD

DEFAULT_CROPS = 256
_SEED = 2303


def calibration_images(
    card: ModelCard,
    source: Path,
    detector: str,
    *,
    limit: int = DEFAULT_CROPS,
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter,
    folder: Path | None = None,
) -> Images:
    """(N,h,w,3) uint8 BGR of the card's input size, of pictures drawn at random (but always the same).

    Args:
        card: task, input size, padding.
        source: a COCO json, a folder that holds one, or a folder of pictures. Persons are those with
            keypoints; where nobody has any, all with a box.
        detector: finds the persons in pictures without annotations (pose).
        limit: most crops.
        track: shows progress over the pictures.
        folder: the json's pictures; None looks for them in images/ beside it, then beside it.

    Raises:
        InputError: nothing there, several jsons, pictures elsewhere, or no person in any picture.
        ImageError: a picture that cannot be read.
    """
    pictures = _pictures(card, source, detector, folder)
    order = np.random.default_rng(_SEED).permutation(len(pictures))
    crops: list[NDArray[np.uint8]] = []
    for path, boxes in track([pictures[i] for i in order]):
        if len(crops) >= limit:
            break
        picture = read_image(path)
        crops.extend(cut(card, picture, boxes(picture)))
    if not crops:
        raise InputError(
            f"{source}: {len(pictures)} pictures and nobody in them to calibrate with; give pictures like "
            "those that the network will see"
        )
    return np.stack(crops[:limit])


Boxes = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def _pictures(
    card: ModelCard, source: Path, detector: str, folder: Path | None
) -> list[tuple[Path, Boxes]]:
    """Pictures, each with a function that finds its persons: boxes (N,4) xyxy px."""
    annotations = _annotations(source)
    if annotations is not None:
        return list(_annotated(annotations, folder))
    if folder is not None:
        raise InputError(
            f"{folder}: is for the pictures of a COCO json, and {source} holds no json; name it"
        )
    files = sorted(filter(is_picture, source.rglob("*")), key=natural_order)
    if not files:
        raise InputError(f"{source}: no picture in it; expected pictures to calibrate with")
    if card.task == "detect":
        return [(file, _whole) for file in files]
    finder = Detector(detector, score_threshold=DEFAULT_DETECTION_THRESHOLD)
    return [(file, lambda picture: finder(picture).boxes) for file in files]


def _annotations(source: Path) -> Path | None:
    if source.is_file():
        return source
    if not source.is_dir():
        raise InputError(f"{source}: neither a folder nor a file; expected pictures to calibrate with")
    found = sorted(source.glob("*.json"))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(f"{source}: several annotation files ({names}); name the one that is meant")
    return found[0] if found else None


def _annotated(file: Path, folder: Path | None) -> Iterator[tuple[Path, Boxes]]:
    content = read_annotations(file)
    boxes = person_boxes(content, file) or _boxes_alone(content, file)
    rows = [row for row in content["images"] if row["id"] in boxes]
    folder = folder or _folder(file, [row["file_name"] for row in rows])
    for row in rows:
        yield folder / row["file_name"], functools.partial(_given, boxes[row["id"]])


def _boxes_alone(content: dict[str, Any], file: Path) -> dict[int, NDArray[np.float32]]:
    """Boxes (N,4) xyxy px of all persons but crowds, by picture id: of annotations without keypoints."""
    category = person_category(content, file)["id"]
    persons = [
        {**row, "num_keypoints": 1}
        for row in content["annotations"]
        if row.get("category_id") == category and not _is_flat(row.get("bbox"))
    ]
    return person_boxes({**content, "annotations": persons}, file)


def _is_flat(box: object) -> bool:
    """True for a box without area, as some annotations have; what is no box is an error elsewhere."""
    return isinstance(box, list) and len(box) == 4 and not (box[2] > 0 and box[3] > 0)


def _folder(file: Path, names: list[str]) -> Path:
    """Where a json's pictures are."""
    places = (file.parent / "images", file.parent)
    for place in places:
        if any((place / name).is_file() for name in names):
            return place
    if names:
        raise InputError(
            f"{file}: none of its {len(names)} pictures ({names[0]}, ...) is in {places[0]} or "
            f"{places[1]}; say where they are: --calibration-images FOLDER"
        )
    return places[0]


def _given(boxes: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return boxes


def _whole(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)
