"""Which persons are there to learn from, and where are their keypoints?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import person_category, read_annotations
from rtmpose_sdk.errors import DataError
from rtmpose_sdk.keypoint_sets import KeypointSet, keypoint_set_named, keypoint_set_with
from rtmpose_sdk.training.rows import (
    annotation_rows,
    bones,
    corners,
    keypoint_names,
    known,
    picture_files,
    triplets,
)

Floats = NDArray[np.float32]
LEAST_SIDE = 8.0
"""Boxes with a shorter side, px, show nobody that could be learned from."""


@dataclass(frozen=True)
class Source:
    """A COCO-format annotation file and the folder of its pictures."""

    annotations: Path
    images: Path

    @classmethod
    def of(cls, annotations: Path, images: Path | None = None, option: str = "--images") -> Source:
        """A source; without a folder, `images/` beside the file is meant.

        Args:
            annotations: the file.
            images: the folder.
            option: of the command, that names the folder.

        Raises:
            DataError: no such file or folder.
        """
        if not annotations.is_file():
            raise DataError(f"{annotations}: no such file; expected COCO-format annotations (json)")
        folder = images or annotations.parent / "images"
        if not folder.is_dir():
            raise DataError(
                f"{folder}: no such folder; expected the pictures of {annotations} there, or say where "
                f"they are with {option}"
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
    ids: tuple[int | str, ...]
    boxes: Floats
    keypoints: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.files)

    def chosen(self, index: NDArray[np.intp]) -> Persons:
        """Some of them."""
        return Persons(
            tuple(self.files[i] for i in index),
            tuple(self.ids[i] for i in index),
            self.boxes[index],
            self.keypoints[index],
            self.weights[index],
        )

    def save(self, file: Path) -> None:
        """Keep them, so that a resumed run need not ask its teacher again."""
        part = file.with_name(f"{file.stem}.part.npz")
        np.savez(
            part,
            files=np.array([str(path) for path in self.files]),
            ids=np.array(self.ids),
            boxes=self.boxes,
            keypoints=self.keypoints,
            weights=self.weights,
        )
        part.replace(file)

    @classmethod
    def load(cls, file: Path) -> Persons:
        """What `save` kept."""
        with np.load(file) as kept:
            return cls(
                tuple(Path(path) for path in kept["files"].tolist()),
                tuple(kept["ids"].tolist()),
                kept["boxes"],
                kept["keypoints"],
                kept["weights"],
            )


def read_keypoint_set(sources: Sequence[Source]) -> KeypointSet:
    """The keypoint set of the sources: the names under `keypoints` of their category.

    Raises:
        InputError: not COCO annotations, or no category that is posed.
        DataError: no names, names or a skeleton of another shape, or other names in the next file.
    """
    found: KeypointSet | None = None
    for source in sources:
        category = person_category(read_annotations(source.annotations), source.annotations)
        names = keypoint_names(category, source.annotations)
        if not names:
            raise DataError(
                f"{source.annotations}: category '{category.get('name')}' has no keypoints; expected their "
                'names, in order, as COCO has them ("keypoints": ["nose", "left_eye", ...]); boxes alone '
                "are for rtmpose train detector"
            )
        made = posed_set(category, names, source.annotations)
        if found is not None and made.names != found.names:
            raise DataError(
                f"{source.annotations}: its keypoints are {', '.join(made.names)}; those of the first file "
                f"are {', '.join(found.names)}"
            )
        found = made
    if found is None:
        raise DataError("there is no training data; give --data ANNOTATIONS.json")
    return found


def posed_set(category: dict[str, Any], names: list[str], file: Path) -> KeypointSet:
    """The keypoint set of a category: one that the SDK knows by its keypoints' names, or a new one.

    Args:
        category: of the file.
        names: its keypoints.
        file: for errors.

    Raises:
        DataError: the skeleton of a new set has another shape.
    """
    known_set = keypoint_set_with(names)
    if known_set is not None:  # whose own skeleton is right; CrowdPose's file has that of other keypoints
        return known_set
    return keypoint_set_named(str(category.get("name", "custom")), names, bones(category, names, file))


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
    rows: list[tuple[Path, int | str, list[float], list[float]]] = []
    for source in sources:
        content = read_annotations(source.annotations)
        category = person_category(content, source.annotations)["id"]
        files = picture_files(content, source.annotations, source.images)
        rows.extend(
            _row(row, files, source.annotations, keypoints)
            for row in annotation_rows(content, source.annotations, category)
            if not row.get("iscrowd")
        )
    flat = np.array([r[3] for r in rows], np.float32).reshape(-1, keypoints, 3)
    labelled = flat[..., 2] > 0
    boxes = np.array([r[2] for r in rows], np.float32).reshape(-1, 4)
    keep = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= LEAST_SIDE
    if labelled_only:
        keep &= labelled.any(axis=1)
    if not keep.any():
        names = ", ".join(str(source.annotations) for source in sources)
        raise DataError(
            f"{names}: nobody to learn from among {len(rows)} annotations; expected persons with at "
            f"least one labelled keypoint (visibility above 0) and a box of {LEAST_SIDE:g} px or more"
        )
    everybody = Persons(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        boxes,
        flat[..., :2],
        labelled.astype(np.float32),
    )
    return everybody.chosen(np.flatnonzero(keep))


def _row(
    row: dict[str, Any], files: dict[Any, Path], file: Path, keypoints: int
) -> tuple[Path, int | str, list[float], list[float]]:
    """Picture, annotation id, box xyxy px, keypoint numbers."""
    box, values, identity = corners(row, file), triplets(row), row.get("id")
    if not isinstance(identity, int | str):
        raise DataError(f"{file}: annotation {row!r:.80} has no id; expected a number, or text")
    if not known(row.get("image_id"), files):
        raise DataError(
            f"{file}: annotation {identity} names no picture; its image_id is {row.get('image_id')!r:.20}"
        )
    if values is None:
        raise DataError(f"{file}: annotation {identity} has keypoints that are not a list of numbers")
    values = values or [0.0] * (3 * keypoints)
    if len(values) != 3 * keypoints:
        raise DataError(
            f"{file}: annotation {identity} has {len(values)} keypoint numbers; expected "
            f"{3 * keypoints} (x, y, visibility of {keypoints} keypoints)"
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"{file}: annotation {identity} has a keypoint number that is not finite; expected 0, 0, 0 for "
            "a keypoint that is not labelled"
        )
    return files[row["image_id"]], identity, box, values
