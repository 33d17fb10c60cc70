"""What is wrong with training data? What a person would only see after hours of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtmpose_sdk.coco import person_category, read_annotations
from rtmpose_sdk.coco_rows import check_rows
from rtmpose_sdk.errors import DataError, InputError
from rtmpose_sdk.keypoint_sets import keypoint_set_named
from rtmpose_sdk.training.findings import (
    Finding,
    box_findings,
    count_findings,
    crowd_findings,
    identity_findings,
    keypoint_findings,
    picture_findings,
)
from rtmpose_sdk.training.missing import Neighbours
from rtmpose_sdk.training.persons import Source, posed_set
from rtmpose_sdk.training.rows import keypoint_names, known, picture_fault, triplets
from rtmpose_sdk.training.sides import crossing_pairs, left_and_right

Track = Callable[[Iterable[Any]], Iterable[Any]]
"""Shows progress over rows."""
Sizes = dict[Any, tuple[int, int] | None]
"""(width, height) px of pictures by their ids; None where they are not known."""
_SHOWN = 5


@dataclass(frozen=True)
class DataReport:
    """What is in a source, and what is wrong with it.

    Attributes:
        pictures, persons, labelled: counts; labelled persons have a keypoint.
        left_out: annotations of other categories, by their names.
        keypoints: labelled keypoints by name.
        findings: in the order of the file.
    """

    pictures: int
    persons: int
    labelled: int
    left_out: dict[str, int]
    keypoints: dict[str, int]
    findings: list[Finding]

    def others(self) -> str:
        """Who is left out, for a person to read; "" is nobody."""
        shown = ", ".join(list(self.left_out)[:_SHOWN]) + (", ..." if len(self.left_out) > _SHOWN else "")
        return f"{sum(self.left_out.values())} annotations of {shown}" if self.left_out else ""


def check(source: Source, track: Track = iter) -> DataReport:
    """Look at every picture and annotation of a source.

    Raises:
        InputError: not COCO annotations, or no category that is posed.
        DataError: nothing at all to learn from, or keypoint names of another shape.
    """
    content = read_annotations(source.annotations)
    report = look_at(content, source, track=track)
    if report.persons == 0:
        raise DataError(f"{source.annotations}: {_nobody(content, source)}; there is nothing to learn from")
    try:
        check_rows(content, source.annotations)
    except InputError as error:
        what = str(error).removeprefix(f"{source.annotations}: ")
        report.findings.append(Finding("refused as --val-data", source.annotations.name, what))
    return report


def _nobody(content: dict[str, Any], source: Source) -> str:
    """Why there is no person."""
    category = person_category(content, source.annotations)
    objects = [row for row in content["annotations"] if isinstance(row, dict)]
    rows = [row for row in objects if row.get("category_id", category["id"]) == category["id"]]
    single = [row for row in rows if not row.get("iscrowd")]
    if single:
        ids = [row["id"] for row in content["images"] if not picture_fault(row)]
        such_as = f"; pictures have ids such as {ids[0]!r}" if ids else ""
        return (
            f"{len(single)} persons, and the id that one of them names is no picture's "
            f"(image_id {single[0].get('image_id')!r}){such_as}"
        )
    if rows:
        return f"all {len(rows)} persons are crowds (iscrowd {rows[0]['iscrowd']!r})"
    return f"no person of category '{category.get('name')}' among {len(content['annotations'])} annotations"


def look_at(
    content: dict[str, Any],
    source: Source,
    decode: bool = True,
    keypoints: bool = True,
    track: Track = iter,
) -> DataReport:
    """The same of annotations that were read.

    Args:
        content: what `read_annotations` gave.
        source: where it came from, and its pictures.
        decode: read every picture; False looks only whether it is there, and believes its stated size.
        keypoints: look at them, too; a detector has no use for them.
        track: shows progress over the rows of pictures.

    Raises:
        InputError, DataError: see `check`.
    """
    category = person_category(content, source.annotations)
    names = keypoint_names(category, source.annotations) if keypoints else []
    findings: list[Finding] = []
    if names:
        try:
            posed_set(category, names, source.annotations)
        except DataError as error:
            findings.append(Finding("skeleton", source.annotations.name, str(error)))
    sizes = _pictures(track(content["images"]), source, decode, findings)
    people = _People(names, findings)
    seen: set[Any] = set()
    persons, left_out = 0, dict[str, int]()
    named = {row["id"]: str(row.get("name")) for row in _objects(content["categories"]) if "id" in row}
    for number, row in enumerate(content["annotations"]):
        if not isinstance(row, dict):
            findings.append(Finding("annotation row", f"annotations {number}", f"{row!r:.60}: no object"))
            continue
        other = row.get("category_id", category["id"])
        if other != category["id"]:
            name = named[other] if known(other, named) else f"category_id {other!r:.20}"
            left_out[name] = left_out.get(name, 0) + 1
            continue
        name = f"annotation {row.get('id')}"
        findings += identity_findings(name, row, seen, sizes) + crowd_findings(name, row)
        if not known(row.get("image_id"), sizes) or row.get("iscrowd"):
            continue
        persons += 1
        size = sizes[row["image_id"]]
        findings += box_findings(name, row, size)
        if keypoints:
            people.look(name, row, size)
    people.end(persons, source, category)
    return DataReport(len(sizes), persons, people.labelled, left_out, people.counts, findings)


def _pictures(rows: Iterable[Any], source: Source, decode: bool, findings: list[Finding]) -> Sizes:
    """Sizes of the pictures; what is wrong with them goes to `findings`."""
    sizes: Sizes = {}
    neighbours = Neighbours(source.images)
    for number, row in enumerate(rows):
        if fault := picture_fault(row):
            findings.append(Finding("picture row", f"images {number}", f"{row!r:.60}: {fault}"))
            continue
        if row["id"] in sizes:
            findings.append(
                Finding("id used twice", row["file_name"], f"id {row['id']!r} is another picture's")
            )
        wrong, sizes[row["id"]] = picture_findings(source, row, decode, neighbours)
        findings += wrong
    return sizes


def _objects(rows: list[Any]) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)]


class _People:
    """Counts labelled keypoints, and finds what is wrong with them.

    Args:
        names: of the keypoints; none where the category has none.
        findings: gets what is wrong.

    Attributes:
        labelled: persons with a keypoint.
        counts: labelled keypoints by name.
    """

    def __init__(self, names: list[str], findings: list[Finding]) -> None:
        self.labelled, self.counts = 0, dict.fromkeys(names, 0)
        self._names, self._findings = names, findings
        self._pairs = left_and_right(keypoint_set_named("checked", names))
        self._unnamed = 0

    def look(self, name: str, row: dict[str, Any], size: tuple[int, int] | None) -> None:
        """At one person."""
        names, values = self._names, triplets(row)
        if not names:
            self._unnamed += bool(row.get("keypoints"))
            return
        if "keypoints" not in row:
            return
        self._findings += count_findings(name, row, len(names))
        if values is None or len(values) != 3 * len(names):
            return
        points = np.array(values, float).reshape(len(names), 3)
        for keypoint in np.flatnonzero(points[:, 2] > 0):
            self.counts[names[keypoint]] += 1
        self.labelled += bool((points[:, 2] > 0).any())
        self._findings += keypoint_findings(name, row, points, names, size)
        if crossing := crossing_pairs(points, self._pairs):
            self._findings.append(Finding("left and right swapped?", name, crossing))

    def end(self, persons: int, source: Source, category: dict[str, Any]) -> None:
        """What only shows once everybody was seen."""
        if self._names and persons and self.labelled == 0:
            what = f"on none of {persons} persons"
            self._findings.append(Finding("no keypoints", source.annotations.name, what))
        if self._unnamed:
            where = f"category '{category.get('name')}'"
            what = f"{self._unnamed} persons have keypoints; list their names under 'keypoints' of "
            what += "the category"
            self._findings.append(Finding("no keypoint names", where, what))
        for name, count in self.counts.items():
            if self.labelled and count == 0:
                self._findings.append(
                    Finding("never labelled", name, "it cannot be learned, but from a --teacher")
                )
