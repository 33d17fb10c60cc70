"""What did a stream find in one frame?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rtmpose_sdk.results import PoseResult


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What a stream found in one frame.

    Attributes:
        poses: the confirmed persons, with track ids.
        time: seconds.
        index: number of the frame in the stream, from 0.
        detected: the detector was asked in this frame.
        cut: a new scene begins here.
        seconds: what the parts took: detect, pose, and own (tracking and smoothing); `follow` adds decode
            (of a live source with the wait for it).
    """

    poses: PoseResult
    time: float
    index: int
    detected: bool
    cut: bool
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row for each person; `frame` is `index`, `time` in s.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from rtmpose_sdk.tables import to_dataframe

        return to_dataframe([self])

    def to_supervision(self) -> Any:
        """`supervision.KeyPoints` of the poses, see `PoseResult.to_supervision`.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        return self.poses.to_supervision()
