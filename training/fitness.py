"""Can a run work with its data? Looked at before the first step, not after hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from os.path import abspath
from pathlib import Path
from typing import Any

from rtmpose_sdk.benchmarks.coco_score import scorer
from rtmpose_sdk.benchmarks.scoring import Scoring, read_truth
from rtmpose_sdk.coco import labelled, person_boxes, person_category, read_annotations
from rtmpose_sdk.coco_rows import check_rows
from rtmpose_sdk.errors import DataError, ImageError, InputError
from rtmpose_sdk.geometry import check_boxes
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.training.check import look_at
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.findings import other_size, stated_size
from rtmpose_sdk.training.missing import Neighbours
from rtmpose_sdk.training.persons import LEAST_SIDE, Source
from rtmpose_sdk.training.progress import Progress
from rtmpose_sdk.training.rows import (
    annotation_rows,
    corners,
    keypoint_names,
    picture_fault,
    picture_files,
    triplets,
    xywh,
)

_SHOWN = 5
_SAMPLED = 8
"""Pictures that are decoded: labels of pictures that EXIF turns are all wrong, and nothing else says so."""


def check_data(config: RunConfig, keypoint_set: KeypointSet | None, cut: bool, progress: Progress) -> None:
    """Look at all annotations, and whether the pictures are there; what may be wrong is said.

    Few pictures are decoded: all are by `rtmpose data check`.

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
    learned: set[str] = set()
    for source in config.sources:
        content = read_annotations(source.annotations)
        files = picture_files(content, source.annotations, source.images)
        learned.update(map(abspath, files.values()))
        if keypoint_set is not None and not cut:
            posed = _posed(content, source, bool(config.teacher))
            _stop(source, [file for i, file in files.items() if i in posed], "--images")
        elif keypoint_set is None:
            _stop(source, files.values(), "--images")
        _warn(content, source, keypoint_set, progress)
    if config.val_annotations:
        source = Source.of(Path(config.val_annotations), Path(config.val_images), "--val-images")
        _check_validation(source, keypoint_set, learned, progress)


def _check_validation(
    source: Source, keypoint_set: KeypointSet | None, learned: set[str], progress: Progress
) -> None:
    """Everything that an evaluation would stumble over, hours later."""
    scorer()
    file = source.annotations
    content = read_annotations(file)
    files = picture_files(content, file, source.images)
    for row in annotation_rows(content, file):
        corners(row, file)
    check_rows(content, file)
    _warn_of_shared(learned, files.values(), file, progress)
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
    if not any(row.get("keypoints") for row in annotation_rows(content, file)):
        raise DataError(
            f"{file}: no annotation has keypoints; a pose network is measured on those of the training "
            f"data ({', '.join(keypoint_set.names)}). Add them, or leave out --val-data"
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


def _warn_of_shared(
    learned: set[str], measured: Iterable[Path], validation: Path, progress: Progress
) -> None:
    """Pictures that are learned from and measured on: what is known by heart looks good."""
    names = {abspath(file) for file in measured}
    if shared := len(names & learned):
        progress.say(
            f"warning: {validation}: {shared} of its {len(names)} pictures are training pictures, too; AP "
            "will be flattered"
        )


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
        hint = Neighbours(source.images, option).hint(_name(missing[0], source.images))
        raise DataError(
            f"{source.annotations}: {len(missing)} of {len(files)} pictures are missing in "
            f"{source.images}: {shown}{more}. "
            f"Say where they are with {option}, or take their rows out of the file"
            + (f". The first: {hint}" if hint else "")
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
    if other := _other_size(content, source):
        progress.say(f"warning: {source.annotations}: other size: {other}")
    if others := report.others():
        category = person_category(content, source.annotations).get("name")
        progress.say(f"{source.annotations}: only '{category}' counts; {others} are left out")
    kinds = Counter(finding.kind for finding in report.findings)
    for kind, count in kinds.most_common():
        first = next(f for f in report.findings if f.kind == kind)
        progress.say(f"warning: {source.annotations}: {count} x {kind}: {first.where}, {first.what}")
    if kinds or other:
        progress.say(f"look closer: rtmpose data check {source.annotations} --images {source.images}")


def _other_size(content: dict[str, Any], source: Source) -> str:
    """The first of some pictures that is not as large as its row says, and its figures; "" is none."""
    rows = [row for row in content["images"] if not picture_fault(row) and stated_size(row)]
    for row in rows[:: max(len(rows) // _SAMPLED, 1)][:_SAMPLED]:
        said = stated_size(row)
        try:
            height, width = read_image(source.images / row["file_name"]).shape[:2]
        except ImageError:  # told where it is needed
            continue
        if said and said != (width, height):
            return f"{row['file_name']}, {other_size((width, height), said)}"
    return ""
