"""COCO-WholeBody's figures: of body, feet, face, hands and the whole (Jin et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rtmpose_sdk.benchmarks.coco_score import score
from rtmpose_sdk.errors import InputError


class _Part(NamedTuple):
    name: str
    keypoints: str
    valid: str
    first: int
    behind: int


_PARTS = (
    _Part("body", "keypoints", "", 0, 17),
    _Part("foot", "foot_kpts", "foot_valid", 17, 23),
    _Part("face", "face_kpts", "face_valid", 23, 91),
    _Part("left hand", "lefthand_kpts", "lefthand_valid", 91, 112),
    _Part("right hand", "righthand_kpts", "righthand_valid", 112, 133),
)
KEYPOINTS = 133


def is_wholebody(truth: dict[str, Any]) -> bool:
    """Whether the annotations have keypoints of parts of their own."""
    return any(part.keypoints in row for row in truth["annotations"] for part in _PARTS[1:])


def join_parts(truth: dict[str, Any], file: Path) -> dict[str, Any]:
    """The parts of every person in one list `keypoints` of 133, those of parts that are not valid unseen.

    Args:
        truth: annotations with `keypoints`, `foot_kpts`, `face_kpts`, `lefthand_kpts`, `righthand_kpts`.
        file: the file they came from, for errors.

    Raises:
        InputError: a part is missing, or has another number of keypoints.
    """
    rows = []
    for row in truth["annotations"]:
        joined: list[float] = []
        for part in _PARTS:
            points, want = row.get(part.keypoints), 3 * (part.behind - part.first)
            if not isinstance(points, list) or len(points) != want:
                found = len(points) if isinstance(points, list) else "none"
                raise InputError(
                    f"{file}: annotation {row.get('id')} has {found} values in {part.keypoints}; expected "
                    f"{want} (x, y, visibility), as COCO-WholeBody has"
                )
            joined += points if row.get(part.valid, True) else [0] * want
        rows.append({**row, "keypoints": joined, "num_keypoints": _seen(joined)})
    return {**truth, "annotations": rows}


def wholebody_figures(
    truth: dict[str, Any], results: list[dict[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    """COCO's figures of the whole, then AP and AR of each part, which has its own sigmas.

    Whose part is not annotated is left out of that part's figures; the score is the person's in all.

    Args:
        truth: what `join_parts` gave.
        results: COCO results with 133 keypoints.
        sigmas: 133 OKS falloffs.
    """
    figures = score(truth, results, "keypoints", sigmas)
    for part in _PARTS:
        cut = slice(3 * part.first, 3 * part.behind)
        labels = [
            {**row, "keypoints": row["keypoints"][cut], "num_keypoints": _seen(row["keypoints"][cut])}
            for row in truth["annotations"]
        ]
        found = [{**row, "keypoints": row["keypoints"][cut]} for row in results]
        of_part = score(
            {**truth, "annotations": labels}, found, "keypoints", sigmas[part.first : part.behind]
        )
        figures |= {f"{part.name} {name}": of_part[name] for name in ("AP", "AR")}
    return figures


def _seen(points: list[float]) -> int:
    return sum(v > 0 for v in points[2::3])
