"""Which pictures are there for a detector to learn from, and where are the persons in them?"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import person_category, read_annotations
from rtmpose_sdk.errors import DataError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.training.persons import Floats, Source
from rtmpose_sdk.training.rows import annotation_rows, corners, known, picture_files

CACHED = 4096
"""Pictures kept decoded, most recent first; about 0.3 MB each at 320 px."""


@dataclass(frozen=True)
class Pictures:
    """M pictures.

    Attributes:
        files: paths.
        boxes: (n,4) xyxy px of the persons in each.
        crowds: (n,4) xyxy px of regions with persons that are not boxed one by one: no loss there.
    """

    files: tuple[Path, ...]
    boxes: tuple[Floats, ...]
    crowds: tuple[Floats, ...]

    def __len__(self) -> int:
        return len(self.files)


def read_pictures(sources: Sequence[Source]) -> Pictures:
    """All pictures of the sources, those without persons too.

    Raises:
        InputError: a file that is not COCO annotations.
        DataError: a row that cannot be read, or no person in any file.
    """
    files: list[Path] = []
    boxes: list[Floats] = []
    crowds: list[Floats] = []
    for source in sources:
        content = read_annotations(source.annotations)
        category = person_category(content, source.annotations)["id"]
        paths = picture_files(content, source.annotations, source.images)
        found: dict[Any, tuple[list[list[float]], list[list[float]]]] = {i: ([], []) for i in paths}
        for row in annotation_rows(content, source.annotations, category):
            box = corners(row, source.annotations)
            if "image_id" not in row:
                raise DataError(f"{source.annotations}: annotation {row!r:.80} has no image_id")
            if not known(row["image_id"], paths):
                continue
            if box[2] - box[0] > 1 and box[3] - box[1] > 1:
                found[row["image_id"]][bool(row.get("iscrowd"))].append(box)
        for identity, (persons, crowd) in found.items():
            files.append(paths[identity])
            boxes.append(np.array(persons, np.float32).reshape(-1, 4))
            crowds.append(np.array(crowd, np.float32).reshape(-1, 4))
    if not any(len(b) for b in boxes):
        names = ", ".join(str(source.annotations) for source in sources)
        raise DataError(f"{names}: no person box in {len(files)} pictures; there is nothing to learn from")
    return Pictures(tuple(files), tuple(boxes), tuple(crowds))


class PictureCache:
    """Decoded pictures, no longer than `longest` px, the last `CACHED` that were asked for."""

    def __init__(self, files: Sequence[Path], longest: int) -> None:
        self._files, self._longest = files, longest
        self._read = functools.lru_cache(maxsize=CACHED)(self._decode)

    def __call__(self, index: int) -> tuple[NDArray[np.uint8], float]:
        """A picture (H,W,3) uint8 BGR, and its px per px of the file.

        Raises:
            ImageError: missing or broken.
        """
        return self._read(int(index))

    def _decode(self, index: int) -> tuple[NDArray[np.uint8], float]:
        picture = read_image(self._files[index])
        factor = self._longest / max(picture.shape[:2])
        if factor >= 1:
            return picture, 1.0
        smaller = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return np.asarray(smaller, np.uint8), factor
