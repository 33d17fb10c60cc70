"""Which persons are there to learn from, and where are their keypoints?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import read_annotations
from rtmpose_sdk.errors import DataError

Floats = NDArray[np.float32]
LEAST_SIDE = 8.0
"""Boxes with a shorter side, px, show nobody that could be learned from."""


@dataclass(frozen=True)
class Source:
    """A COCO-format annotation file and the folder of its pictures."""

    annotations: Path
    images: Path

    @classmethod
    def of(cls, annotations: Path, images: Path | None = None) -> Source:
        """A source; without a folder, `images/` beside the file is meant.

        Raises:
            DataError: no such folder.
        """
        folder = images or annotations.parent / "images"
        if not folder.is_dir():
            raise DataError(
                f"{folder}: no such folder; expected the pictures of {annotations} there, or say where "
                "they are with --images"
            )
        return cls(annotations, folder)


@dataclass(frozen=True)
class Persons:
    """P persons.

    Attributes:
        files: picture of each person.
        ids: annotation id of each person, for reports and for a teacher's labels.
        boxes: (P,4) xyxy px.
        keypoints: (P,K,2) px of the picture.
        weights: (P,K) 1 where a keypoint is labelled, 0 where it is not; a teacher's lie between.
    """

    files: tuple[Path, ...]
    ids: tuple[int, ...]
    boxes: Floats
    keypoints: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.files)


def read_persons(sources: Sequence[Source], keypoints: int, labelled_only: bool = True) -> Persons:
    """All persons of the sources that are no crowd.

    Args:
        sources: annotation files and their folders.
        keypoints: K, of every person.
        labelled_only: leave out persons without any keypoint; a teacher can use them.

    Raises:
        InputError: a file that is not COCO annotations.
        DataError: annotations that do not fit, or nobody in any file.
    """
    rows: list[tuple[Path, int, list[float], list[float]]] = []
    for source in sources:
        content = read_annotations(source.annotations)
        files = {row["id"]: source.images / row["file_name"] for row in content["images"]}
        for row in content["annotations"]:
            if not row.get("iscrowd"):
                rows.extend(_row(row, files, source.annotations, keypoints))
    flat = np.array([r[3] for r in rows], np.float32).reshape(-1, keypoints, 3)
    labelled = flat[..., 2] > 0
    boxes = np.array([r[2] for r in rows], np.float32).reshape(-1, 4)
    keep = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= LEAST_SIDE
    if labelled_only:
        keep &= labelled.any(axis=1)
    chosen = np.flatnonzero(keep)
    if len(chosen) == 0:
        names = ", ".join(str(source.annotations) for source in sources)
        raise DataError(
            f"{names}: nobody to learn from among {len(rows)} annotations; expected persons with at "
            f"least one labelled keypoint (visibility above 0) and a box of {LEAST_SIDE:g} px or more"
        )
    return Persons(
        tuple(rows[i][0] for i in chosen),
        tuple(rows[i][1] for i in chosen),
        boxes[chosen],
        flat[chosen, :, :2],
        labelled[chosen].astype(np.float32),
    )


def _row(
    row: dict[str, Any], files: dict[Any, Path], file: Path, keypoints: int
) -> list[tuple[Path, int, list[float], list[float]]]:
    try:
        x, y, w, h = map(float, row["bbox"])
        picture, identity = files[row["image_id"]], int(row["id"])
        values = [float(v) for v in row.get("keypoints") or [0.0] * (3 * keypoints)]
    except KeyError as error:
        raise DataError(f"{file}: annotation {row!r:.80} lacks {error}, or it names no picture") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: annotation {row!r:.80} cannot be read ({error})") from None
    if len(values) != 3 * keypoints:
        raise DataError(
            f"{file}: annotation {identity} has {len(values)} keypoint numbers; expected "
            f"{3 * keypoints} (x, y, visibility of {keypoints} keypoints)"
        )
    return [(picture, identity, [x, y, x + w, y + h], values)]
