"""How do results go into other tables? pandas and supervision, imported when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sources import Frame

Row = PoseResult | FrameResult | tuple[Frame, FrameResult]
"""A picture's result, a stream's, or what `follow` yields."""

BOX_COLUMNS = ("box_x1", "box_y1", "box_x2", "box_y2")
PARTS = ("x", "y", "score", "confidence")


def keypoint_columns(names: Sequence[str]) -> list[str]:
    """Names of a table's columns: four for each keypoint."""
    return [f"{name}_{part}" for name in names for part in PARTS]


def to_dataframe(results: Iterable[Row], times: Iterable[float] | None = None) -> Any:
    """A pandas DataFrame, one row for each person and result.

    Columns: frame, time (s, where known), track_id, box_x1 ... box_y2 (px), box_score, and NAME_x,
    NAME_y (px), NAME_score, NAME_confidence for each keypoint. `frame` is the frame's own number: the
    source's for what `follow` yields, the stream's for a FrameResult, the place in `results` for a
    PoseResult, which has none.

    Args:
        results: of one keypoint set, of one kind; of `pipeline.follow(...)` no picture is kept.
        times: seconds of each result; None takes the results' own.

    Raises:
        MissingExtraError: pandas is not installed.
        InputError: no result, or of several keypoint sets, or another number of times; or one result that
            is not in a list.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "tables", "A DataFrame") from None
    alone = isinstance(results, tuple) and results and isinstance(results[0], Frame)
    if alone or isinstance(results, PoseResult | FrameResult):
        raise InputError(
            f"results is one {type(results).__name__}; expected several: give [result], or call "
            "result.to_dataframe()"
        )
    given = None if times is None else list(times)
    numbers, own_times, poses = [], [], []
    for place, row in enumerate(results):
        if given is not None and place == len(given):
            raise InputError(f"{len(given)} times for more results; expected one for each")
        frame, found = row if isinstance(row, tuple) else (row, row)
        numbers.append(place if isinstance(frame, PoseResult) else frame.index)
        own_times.append(None if isinstance(frame, PoseResult) else frame.time)
        poses.append(found if isinstance(found, PoseResult) else found.poses)
    if given is not None and len(given) != len(poses):
        raise InputError(f"{len(given)} times for {len(poses)} results; expected one for each")
    sets = {result.keypoint_set for result in poses}
    if len(sets) != 1:
        raise InputError(f"{len(poses)} results of {len(sets)} keypoint sets; expected one set")
    rows = np.repeat(np.arange(len(poses)), [len(result) for result in poses])
    table: dict[str, Any] = {"frame": np.array(numbers, np.int64)[rows]}
    if given is not None or None not in own_times:
        table["time"] = np.array(own_times if given is None else given, np.float64)[rows]
    ids = [[-1] * len(r) if r.track_ids is None else r.track_ids.tolist() for r in poses]
    table["track_id"] = pandas.array([v if v >= 0 else None for row in ids for v in row], "Int64")
    boxes = np.concatenate([r.boxes for r in poses])
    table |= {name: boxes[:, i] for i, name in enumerate(BOX_COLUMNS)}
    table["box_score"] = np.concatenate([r.box_scores for r in poses])
    points = np.concatenate(
        [
            np.concatenate([r.keypoints, r.keypoint_scores[..., None], r.confidences[..., None]], axis=2)
            for r in poses
        ]
    ).reshape(len(rows), 4 * len(next(iter(sets))))
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
    kind: Any = supervision.KeyPoints
    fields = getattr(kind, "__dataclass_fields__", {})
    name = "keypoint_confidence" if "keypoint_confidence" in fields else "confidence"
    data = {} if result.track_ids is None else {"track_id": result.track_ids}
    return kind(xy=result.keypoints, **{name: result.confidences}, data=data)
