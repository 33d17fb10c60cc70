"""How do results go into other tables? pandas and supervision, imported when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.results import PoseResult

BOX_COLUMNS = ("box_x1", "box_y1", "box_x2", "box_y2")
PARTS = ("x", "y", "score", "confidence")


def keypoint_columns(names: Sequence[str]) -> list[str]:
    """Names of a table's columns: four for each keypoint."""
    return [f"{name}_{part}" for name in names for part in PARTS]


def to_dataframe(results: Sequence[PoseResult], times: Sequence[float] | None = None) -> Any:
    """A pandas DataFrame, one row for each person and result.

    Columns: frame (place in `results`), time (s, where given), track_id, box_x1 ... box_y2 (px),
    box_score, and NAME_x, NAME_y (px), NAME_score, NAME_confidence for each keypoint.

    Args:
        results: of one keypoint set.
        times: seconds of each result.

    Raises:
        MissingExtraError: pandas is not installed.
        InputError: no result, or of several keypoint sets.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "tables", "A DataFrame") from None
    sets = {result.keypoint_set for result in results}
    if len(sets) != 1:
        raise InputError(f"{len(results)} results of {len(sets)} keypoint sets; expected one set")
    counts = [len(result) for result in results]
    frame = np.repeat(np.arange(len(results)), counts)
    table: dict[str, Any] = {"frame": frame}
    if times is not None:
        table["time"] = np.asarray(times, np.float64)[frame]
    ids = [[-1] * len(r) if r.track_ids is None else r.track_ids.tolist() for r in results]
    table["track_id"] = pandas.array([v if v >= 0 else None for row in ids for v in row], "Int64")
    boxes = np.concatenate([r.boxes for r in results])
    table |= {name: boxes[:, i] for i, name in enumerate(BOX_COLUMNS)}
    table["box_score"] = np.concatenate([r.box_scores for r in results])
    points = np.concatenate(
        [
            np.concatenate([r.keypoints, r.keypoint_scores[..., None], r.confidences[..., None]], axis=2)
            for r in results
        ]
    ).reshape(len(frame), 4 * len(next(iter(sets))))
    names = keypoint_columns(next(iter(sets)).names)
    return pandas.DataFrame(table | {name: points[:, i] for i, name in enumerate(names)})


def to_supervision(result: PoseResult) -> Any:
    """`supervision.KeyPoints` of a result.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise MissingExtraError("supervision", "tables", "supervision.KeyPoints") from None
    if not len(result):
        return supervision.KeyPoints.empty()
    kind: Any = supervision.KeyPoints
    fields = getattr(kind, "__dataclass_fields__", {})
    name = "keypoint_confidence" if "keypoint_confidence" in fields else "confidence"
    data = {} if result.track_ids is None else {"track_id": result.track_ids}
    return kind(xy=result.keypoints, **{name: result.confidences}, data=data)
