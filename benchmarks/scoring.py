"""Which benchmark's annotations are these, and what are its figures of what was found?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtmpose_sdk.benchmarks import crowdpose, mpii, wholebody
from rtmpose_sdk.benchmarks.coco_score import score, sigmas_for_ap, with_areas
from rtmpose_sdk.benchmarks.matched import Matched, match
from rtmpose_sdk.coco import as_annotations, labelled, person_category, read_json
from rtmpose_sdk.coco_rows import check_rows
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.results import PoseResult


def read_truth(file: Path, keypoint_set: KeypointSet) -> dict[str, Any]:
    """Keypoint annotations in COCO's form, with the set's keypoints; MPII's and COCO-WholeBody's become so.

    Raises:
        InputError: annotations of another kind, without keypoints, or of other keypoints than the set's.
        MissingExtraError: see `rtmpose_sdk.benchmarks.mpii.to_coco`.
    """
    content = read_json(file)
    if mpii.is_mpii(content):
        lists = [row.get("joints") if isinstance(row, dict) else None for row in content]
        joints = [(len(row), f"person {i}") for i, row in enumerate(lists) if isinstance(row, list)]
        _check_counts(joints, file, keypoint_set)
        truth = mpii.to_coco(content, file, keypoint_set.names)
    else:
        truth = as_annotations(content, file)
    check_rows(truth, file)
    truth = {**truth, "annotations": [_without_empty(row) for row in truth["annotations"]]}
    if wholebody.is_wholebody(truth) and len(keypoint_set) == wholebody.KEYPOINTS:
        truth = wholebody.join_parts(truth, file)
    if not truth["annotations"]:
        raise InputError(
            f"{file}: no annotation in its {len(truth['images'])} pictures; there is nothing to measure on"
        )
    _check_counts(
        [
            (len(row["keypoints"]) // 3, f"annotation {row['id']}")
            for row in truth["annotations"]
            if "keypoints" in row
        ],
        file,
        keypoint_set,
    )
    empty = [row["id"] for row in truth["annotations"] if not row.get("keypoints") and labelled(row)]
    if empty:
        raise InputError(f"{file}: annotation {empty[0]} has num_keypoints, but no keypoints")
    # COCO's evaluation leaves out whom it is not said of.
    rows = [
        {**row, "num_keypoints": labelled(row)} if "keypoints" in row else row
        for row in truth["annotations"]
    ]
    truth = _of_persons({**truth, "annotations": rows}, file)
    crowded = crowdpose.is_crowdpose(truth)
    if crowded:
        crowdpose.check_crowd(truth, file)
    return with_areas(truth, always=crowded)


def _without_empty(row: dict[str, Any]) -> dict[str, Any]:
    """An annotation whose keypoints are null or [] has none, and need not say so."""
    if row.get("keypoints"):
        return row
    return {key: value for key, value in row.items() if key != "keypoints"}


def _of_persons(truth: dict[str, Any], file: Path) -> dict[str, Any]:
    """Without annotations of other categories, where one of them is called "person"."""
    if _kinds(truth):
        return truth
    person = person_category(truth, file)["id"]
    rows = [row for row in truth["annotations"] if row["category_id"] == person]
    return {**truth, "annotations": rows}


def _check_counts(counts: Sequence[tuple[int, str]], file: Path, keypoint_set: KeypointSet) -> None:
    """Each person's number of keypoints, and who that is."""
    if not counts:
        raise InputError(f"{file}: no annotation has keypoints; measure a detector on it with --boxes-only")
    expected, numbers = len(keypoint_set), sorted({number for number, _ in counts})
    if numbers != [expected]:
        odd = next(f"; {who} has {number}" for number, who in counts if number != expected)
        where = odd if expected in numbers else ""
        raise InputError(f"{file}: annotations have {numbers} keypoints, the model {expected}{where}")


class Scoring:
    """Takes what is found, picture by picture, and gives the figures of the annotations' benchmark."""

    def __init__(
        self, truth: dict[str, Any], file: Path, keypoint_set: KeypointSet, boxes_given: bool
    ) -> None:
        """Args:
            truth: what `read_truth` gave, or a part of it.
            file: the file it came from, for errors.
            keypoint_set: of the results.
            boxes_given: what is found comes in the order of the annotated persons.

        Raises:
            InputError: categories that do not tell who is posed; head boxes that are missing; nobody whose
                keypoints are labelled.
        """
        if not _posed(truth["annotations"]):
            raise InputError(
                f"{file}: nobody in the {len(truth['images'])} pictures that are measured has a labelled "
                "keypoint; there is nothing to measure"
            )
        self.results: list[dict[str, Any]] = []
        self._truth, self._file, self._set, self._given = truth, file, keypoint_set, boxes_given
        self._kinds = _kinds(truth)
        self._several = len(self._kinds) > 1
        self._persons: list[Matched] | None = [] if mpii.has_heads(truth, keypoint_set.names) else None
        self._heads: list[float] = []
        if self._persons is not None:
            mpii.head_sizes(_posed(truth["annotations"]), file)
        if not self._several:
            self._category = int(person_category(truth, file)["id"])
        elif not boxes_given:
            # A detector of animals does not say which species it is: all count as one.
            self._category = min(self._kinds)
            rows = [{**row, "category_id": self._category} for row in truth["annotations"]]
            self._truth, self._several = {**truth, "annotations": rows}, False

    def add(self, picture: dict[str, Any], labels: list[dict[str, Any]], poses: PoseResult) -> None:
        """What was found in a picture.

        Args:
            picture: its row of the annotations' `images`.
            labels: its annotations.
            poses: of it.
        """
        posed = _posed(labels)
        found = poses.to_coco(picture["id"])
        if self._several:
            categories = [row["category_id"] for row in posed]
        else:
            categories = [self._category] * len(found)
        self.results += [
            {**person, "category_id": category} for person, category in zip(found, categories, strict=True)
        ]
        if self._persons is not None:
            self._persons += match(picture, labels, poses, in_order=self._given)
            self._heads += mpii.head_sizes(posed, self._file)

    @property
    def gives_ap(self) -> bool:
        """False where the annotations are measured by PCKh."""
        return self._persons is None

    def figures(self) -> dict[str, float]:
        """By name; of at least one result."""
        if self._persons is not None:
            return mpii.pckh_figures(self._persons, self._heads, self._set.names)
        sigmas, truth = sigmas_for_ap(self._set), self._truth
        if crowdpose.is_crowdpose(truth):
            return crowdpose.crowdpose_figures(truth, self.results, sigmas)
        if wholebody.is_wholebody(truth) and len(self._set) == wholebody.KEYPOINTS:
            return wholebody.wholebody_figures(truth, self.results, sigmas)
        return score(
            truth, self.results, "keypoints", sigmas, categories=self._kinds if self._several else None
        )


def _posed(labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose boxes `rtmpose_sdk.coco.person_boxes` gives, in its order."""
    return [row for row in labels if labelled(row) > 0 and not row.get("iscrowd")]


def _kinds(truth: dict[str, Any]) -> set[int]:
    """Categories of annotations with keypoints, where none is called "person": species, where several."""
    if any(isinstance(row, dict) and row.get("name") == "person" for row in truth["categories"]):
        return set()
    return {row.get("category_id", 0) for row in truth["annotations"] if "keypoints" in row}
