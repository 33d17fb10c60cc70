"""Which found person is which annotated one? For everything that looks at keypoints one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.coco_score import sigmas_for_ap
from rtmpose_sdk.coco import labelled
from rtmpose_sdk.oks import Floats
from rtmpose_sdk.results import PoseResult

LEAST_OKS = 0.1
"""Below it, a found person is taken for nobody annotated."""


class Matched(NamedTuple):
    """One annotated person and what was found of it.

    Attributes:
        picture: the row of the annotations' `images`.
        box: (4,) xyxy px, as annotated.
        truth: (K,2) px.
        labelled: (K,) bool.
        found: (K,2) px; NaN where nobody was found.
        confidences: (K,) 0...1.
        similarity: (K,) exp(-d²/(2 s² k²)) of COCO's OKS; 0 where nobody was found.
        scale: px, square root of the annotated area.
    """

    picture: dict[str, Any]
    box: Floats
    truth: Floats
    labelled: NDArray[np.bool_]
    found: Floats
    confidences: Floats
    similarity: Floats
    scale: float

    @property
    def oks(self) -> float:
        """Mean over the labelled keypoints."""
        return float(self.similarity[self.labelled].mean())


def match(
    picture: dict[str, Any], annotations: list[dict[str, Any]], found: PoseResult, in_order: bool = False
) -> list[Matched]:
    """Annotated persons (with keypoints, no crowd) of a picture with their counterparts.

    Args:
        picture: its row of the annotations' `images`.
        annotations: its rows, with areas (`rtmpose_sdk.benchmarks.scoring.read_truth`).
        found: its poses.
        in_order: their boxes were the annotated ones, so the first is of the first; else the best OKS
            decides, greedily.
    """
    sigmas = np.array(sigmas_for_ap(found.keypoint_set), np.float32)
    rows = [a for a in annotations if labelled(a) > 0 and not a.get("iscrowd")]
    people = []
    for row in rows:
        points = np.array(row["keypoints"], np.float32).reshape(-1, 3)
        area = max(float(row["area"]), 1.0)
        squared = np.square(found.keypoints - points[:, :2]).sum(axis=2)
        people.append((row, points, area, np.exp(-squared / (8 * area * np.square(sigmas)))))
    partner: dict[int, int] = {i: i for i in range(len(people))} if in_order else {}
    pairs = {(i, j): float(like[j][points[:, 2] > 0].mean())
             for i, (_, points, _, like) in enumerate(people) for j in range(len(found))}  # fmt: skip
    for (i, j), oks in sorted(pairs.items(), key=lambda item: -item[1]):
        if oks >= LEAST_OKS and i not in partner and j not in partner.values():
            partner[i] = j
    matched = []
    for i, (row, points, area, like) in enumerate(people):
        x, y, w, h = row["bbox"]
        mate = partner.get(i)
        nothing = np.zeros(len(points), np.float32)
        matched.append(
            Matched(
                picture,
                np.array([x, y, x + w, y + h], np.float32),
                points[:, :2],
                points[:, 2] > 0,
                np.full((len(points), 2), np.nan, np.float32) if mate is None else found.keypoints[mate],
                nothing if mate is None else found.confidences[mate],
                nothing if mate is None else like[mate].astype(np.float32),
                area**0.5,
            )
        )
    return matched
