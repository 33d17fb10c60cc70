"""Which real crops is an artifact verified with?"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.coco import person_boxes, read_annotations
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import check_boxes, crop_boxes, letterbox
from rtmpose_sdk.images import pictures_in, read_image

Images = NDArray[np.uint8]

_DEMO_PHOTO = "data/astronaut.jpg"
_WINDOWS = 16
_SEED = 2303


def verification_images(
    card: ModelCard, folder: Path | None, annotations: Path | None, limit: int
) -> Images:
    """(N,h,w,3) uint8 BGR of the card's input size: person crops (pose) or letterboxed pictures.

    Args:
        card: task, input size, padding.
        folder: pictures; None takes windows of the photograph that ships with the package.
        annotations: COCO json of those pictures, whose boxes are cut out (pose); without it each
            picture stands for a person.
        limit: most crops.

    Raises:
        InputError: no picture there, or none of the annotated ones.
        ImageError: a picture that cannot be read.
    """
    if folder is None:
        return _windows(card)
    crops: list[Images] = []
    for picture, boxes in annotated_pictures(folder, annotations):
        if len(crops) >= limit:
            break
        crops.extend(cut(card, picture, boxes))
    if not crops:
        raise InputError(f"{folder}: no picture to verify with")
    return np.stack(crops[:limit])


def cut(card: ModelCard, picture: Images, boxes: NDArray[np.float32]) -> list[Images]:
    """What the network is given of one picture: its persons (pose), or all of it, letterboxed."""
    if card.task == "detect":
        return [letterbox(picture, card.input_size, card.pad_value)[0]]
    size = (picture.shape[1], picture.shape[0])
    crops = crop_boxes(picture, check_boxes(boxes, size), card.input_size, card.bbox_padding)
    return list(crops.images)


def demo_photo() -> Images:
    """The photograph that ships with the package, (H,W,3) uint8 BGR."""
    return read_image(Path(str(resources.files("rtmpose_sdk").joinpath(_DEMO_PHOTO))))


def _windows(card: ModelCard) -> Images:
    """Random windows of the bundled photograph, as different as one picture allows."""
    photo = demo_photo()
    rng = np.random.default_rng(_SEED)
    side = photo.shape[0]
    crops: list[Images] = []
    for _ in range(_WINDOWS):
        width = rng.uniform(0.4, 1.0) * side
        x, y = rng.uniform(0, side - width, 2)
        box = np.array([[x, y, x + width, y + width]], np.float32)
        x1, y1, x2, y2 = box[0].astype(int)
        picture = photo if card.task == "pose" else np.ascontiguousarray(photo[y1:y2, x1:x2])
        crops.extend(cut(card, picture, box))
    return np.stack(crops)


def annotated_pictures(
    folder: Path, annotations: Path | None
) -> Iterator[tuple[Images, NDArray[np.float32]]]:
    """Pairs of picture and boxes (N,4) xyxy px; without annotations a box is the whole picture.

    Raises:
        InputError, ImageError: see `verification_images`.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; expected one with pictures to verify with")
    if annotations is None:
        for path in pictures_in(folder):
            picture = read_image(path)
            height, width = picture.shape[:2]
            yield picture, np.array([[0, 0, width, height]], np.float32)
        return
    content = read_annotations(annotations)
    boxes = person_boxes(content, annotations)
    for row in content["images"]:
        if row["id"] in boxes:
            yield read_image(folder / row["file_name"]), boxes[row["id"]]
