"""How do keypoints of one set become those of another? By name; what is not there has confidence 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import KeypointSet, get_keypoint_set
from rtmpose_sdk.results import PoseResult

_SAME = (
    {"head", "head_top", "top_head"},
    {"hip", "pelvis"},
)
"""Names of one joint in different sets."""
_BETWEEN = {
    "neck": ("left_shoulder", "right_shoulder"),
    "hip": ("left_hip", "right_hip"),
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
}
"""Joints that stand in the middle of two others, where a set does not have them itself."""
_PART_SETS = {
    "body": "coco17",
    "feet": "feet6",
    "face": "face68",
    "left_hand": "hand21",
    "right_hand": "hand21",
}


def sources(have: KeypointSet, want: KeypointSet) -> list[tuple[int, ...]]:
    """For each keypoint of `want`, whose mean it is among those of `have`; () where nothing fits."""
    places = {name: i for i, name in enumerate(have.names)}

    def find(name: str) -> tuple[int, ...]:
        alike = next((group for group in _SAME if name in group), {name})
        for each in (name, *sorted(alike - {name})):
            if each in places:
                return (places[each],)
        pair = _BETWEEN.get(name, ())
        return tuple(places[each] for each in pair) if pair and all(p in places for p in pair) else ()

    return [find(name) for name in want.names]


def convert_keypoints(result: PoseResult, target: str | Path | KeypointSet) -> PoseResult:
    """The same persons with another keypoint set.

    Joints are found by name. A joint between two others (neck, hip) is their middle, with the smaller score
    of the two, where the given set does not have it. What cannot be told is (0, 0) with score and
    confidence 0, as COCO and OpenPose write it.

    Args:
        result: poses of any set.
        target: a set, its name ("openpose25", "coco17", ...), or a .json file that defines one.

    Raises:
        InputError: unknown set, or no keypoint in common.
    """
    want = target if isinstance(target, KeypointSet) else get_keypoint_set(target)
    if want == result.keypoint_set:
        return result
    places = sources(result.keypoint_set, want)
    if not any(places):
        raise InputError(
            f"{result.keypoint_set.name} and {want.name} have no keypoint in common; parts of a whole "
            "body are "
            "taken out with part_of(result, 'left_hand')"
        )
    persons = len(result)
    keypoints = np.zeros((persons, len(want), 2), np.float32)
    scores, confidences = np.zeros((2, persons, len(want)), np.float32)
    depths = None if result.depths is None else np.zeros((persons, len(want)), np.float32)
    for k, place in enumerate(places):
        if not place:
            continue
        index = list(place)
        keypoints[:, k] = result.keypoints[:, index].mean(axis=1)
        scores[:, k] = result.keypoint_scores[:, index].min(axis=1)
        confidences[:, k] = result.confidences[:, index].min(axis=1)
        if depths is not None and result.depths is not None:
            depths[:, k] = result.depths[:, index].mean(axis=1)
    return replace(
        result,
        keypoints=keypoints,
        keypoint_scores=scores,
        confidences=confidences,
        depths=depths,
        keypoint_set=want,
    )


def part_of(result: PoseResult, part: str) -> PoseResult:
    """A part of whole-body poses: "body" (coco17), "feet", "face", "left_hand", "right_hand" (hand21).

    Its boxes are those around the part's keypoints.

    Raises:
        InputError: the set has no such part.
    """
    parts = result.keypoint_set.parts
    if part not in parts:
        raise InputError(
            f"{result.keypoint_set.name} has no part '{part}'; it has {', '.join(parts) or 'none'}"
        )
    first, end = parts[part]
    rows = slice(first, end)
    own = _PART_SETS.get(part, "")
    if own and len(get_keypoint_set(own)) == end - first:
        made = get_keypoint_set(own)
    else:
        made = _cut(result.keypoint_set, part, first, end)
    keypoints = result.keypoints[:, rows]
    return replace(
        result,
        boxes=np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=1)
        if len(result)
        else result.boxes,
        keypoints=keypoints,
        keypoint_scores=result.keypoint_scores[:, rows],
        confidences=result.confidences[:, rows],
        depths=None if result.depths is None else result.depths[:, rows],
        keypoint_set=made,
    )


def _cut(whole: KeypointSet, part: str, first: int, end: int) -> KeypointSet:
    """The keypoints [first, end) of a set as a set of their own."""

    def lines(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((a - first, b - first) for a, b in pairs if first <= a < end and first <= b < end)

    flips = tuple(j - first if first <= j < end else i for i, j in enumerate(whole.flip_indices[first:end]))
    return KeypointSet(
        name=f"{whole.name}-{part}",
        names=whole.names[first:end],
        flip_indices=flips,
        skeleton=lines(whole.skeleton),
        oks_sigmas=whole.oks_sigmas[first:end],
        outlines=lines(whole.outlines),
        colors=whole.colors[first:end],
    )
