"""Can a run work with its data? Looked at before the first step, not after hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rtmpose_sdk.benchmarks.coco_score import scorer
from rtmpose_sdk.benchmarks.scoring import Scoring, read_truth
from rtmpose_sdk.coco import labelled, person_boxes, person_category, read_annotations
from rtmpose_sdk.coco_rows import check_rows
from rtmpose_sdk.errors import DataError, InputError
from rtmpose_sdk.geometry import check_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.training.check import look_at, stated_size
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.persons import LEAST_SIDE, Source
from rtmpose_sdk.training.progress import Progress
from rtmpose_sdk.training.rows import (
    annotation_rows,
    corners,
    keypoint_names,
    picture_files,
    triplets,
    xywh,
)

_SHOWN = 5


def check_data(config: RunConfig, keypoint_set: KeypointSet | None, cut: bool, progress: Progress) -> None:
    """Look at all annotations, and whether the pictures are there; what may be wrong is said.

    Pictures are not decoded: that is what `rtmpose data check` is for.

    Args:
        config: the run.
        keypoint_set: of a pose network; None for a detector.
        cut: the persons were cut out already, by a run that goes on: their pictures are not needed.
        progress: hears the warnings.

    Raises:
        DataError: pictures that the run needs are missing, or annotations that cannot be read.
        InputError: not COCO annotations, or validation data that cannot be measured on.
        MissingExtraError: there is validation data, and what measures AP is not installed.
    """
    for source in config.sources:
        content = read_annotations(source.annotations)
        files = picture_files(content, source.annotations, source.images)
        if keypoint_set is not None and not cut:
            posed = _posed(content, source, bool(config.teacher))
            _stop(source, [file for i, file in files.items() if i in posed], "--images")
        elif keypoint_set is None:
            _stop(source, files.values(), "--images")
        _warn(content, source, keypoint_set, progress)
    if config.val_annotations:
        source = Source.of(Path(config.val_annotations), Path(config.val_images))
        _check_validation(source, keypoint_set, progress)


def _check_validation(source: Source, keypoint_set: KeypointSet | None, progress: Progress) -> None:
    """Everything that an evaluation would stumble over, hours later."""
    scorer()
    file = source.annotations
    content = read_annotations(file)
    files = picture_files(content, file, source.images)
    for row in annotation_rows(content, file):
        corners(row, file)
    check_rows(content, file)
    if keypoint_set is None:
        category = person_category(content, file)["id"]
        if all(row.get("iscrowd") for row in annotation_rows(content, file, category)):
            raise DataError(f"{file}: no person's box; there is nothing to measure on")
        _stop(source, files.values(), "--val-images")
        _warn(content, source, None, progress)
        return
    categories = [c for c in content["categories"] if isinstance(c, dict)]
    for category in categories:
        names = keypoint_names(category, file)
        if len(names) == len(keypoint_set) and tuple(names) != keypoint_set.names:
            raise DataError(
                f"{file}: its keypoints are {', '.join(names)}; those of the training data are "
                f"{', '.join(keypoint_set.names)}"
            )
    truth = read_truth(file, keypoint_set)
    if not Scoring(truth, file, keypoint_set, boxes_given=True).gives_ap:
        raise DataError(
            f"{file}: is measured by PCKh, because it has boxes of heads (bbox_head), and the best weights "
            "are found by AP; leave bbox_head out"
        )
    _stop(source, [files[i] for i in person_boxes(truth, file)], "--val-images")
    _check_boxes(truth, source)
    if len(categories) == 1:  # several are species, which look_at does not know
        _warn(content, source, keypoint_set, progress)


def _check_boxes(truth: dict[str, Any], source: Source) -> None:
    """Boxes of the persons that an evaluation crops.

    Raises:
        DataError: one shows nothing of its picture.
    """
    pictures = {row["id"]: row for row in truth["images"]}
    for row in truth["annotations"]:
        if not labelled(row) or row.get("iscrowd"):
            continue
        box, picture = [corners(row, source.annotations)], pictures[row["image_id"]]
        try:
            try:
                check_boxes(box, stated_size(picture) or (0, 0))
            except InputError:  # what is stated may be wrong
                height, width = read_image(source.images / picture["file_name"]).shape[:2]
                check_boxes(box, (width, height))
        except InputError as error:
            raise DataError(
                f"{source.annotations}: annotation {row['id']} cannot be measured on: {error}; mend its "
                "bbox ([x, y, width, height] in px), or set its num_keypoints to 0"
            ) from None


def _posed(content: dict[str, Any], source: Source, unlabelled: bool) -> set[Any]:
    """Ids of the pictures that persons are cut out of."""
    category = person_category(content, source.annotations)["id"]
    return {
        row.get("image_id")
        for row in annotation_rows(content, source.annotations, category)
        if not row.get("iscrowd")
        and (unlabelled or any((triplets(row) or [])[2::3]))
        and min((xywh(row) or [0.0])[2:], default=0.0) >= LEAST_SIDE
    }


def _stop(source: Source, needed: Iterable[Path], option: str) -> None:
    """Where a picture is missing that is needed.

    Raises:
        DataError: so.
    """
    files = sorted(set(needed))
    missing = [file for file in files if not file.is_file()]
    if missing:
        shown = ", ".join(_name(file, source.images) for file in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DataError(
            f"{source.annotations}: {len(missing)} of {len(files)} pictures are missing in "
            f"{source.images}: {shown}{more}. Say where they are with {option}, or take their rows out of "
            "the file"
        )


def _name(file: Path, folder: Path) -> str:
    """As the annotations have it: within the folder, or a whole path."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def _warn(
    content: dict[str, Any], source: Source, keypoint_set: KeypointSet | None, progress: Progress
) -> None:
    """The cheap part of `rtmpose data check`: each kind of finding with one example."""
    report = look_at(
        content,
        source,
        decode=False,
        keypoints=keypoint_set is not None,
        track=lambda rows: progress.track("annotations", rows),
    )
    kinds = Counter(finding.kind for finding in report.findings)
    for kind, count in kinds.most_common():
        first = next(f for f in report.findings if f.kind == kind)
        progress.say(f"warning: {source.annotations}: {count} x {kind}: {first.where}, {first.what}")
    if kinds:
        progress.say(f"look closer: rtmpose data check {source.annotations} --images {source.images}")
