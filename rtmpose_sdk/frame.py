"""What did a stream find in one frame?"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtmpose_sdk.results import PoseResult


@dataclass(frozen=True)
class FrameResult:
    """What a stream found in one frame.

    Attributes:
        poses: the confirmed persons, with track ids.
        time: seconds.
        index: number of the frame in the stream, from 0.
        detected: the detector was asked in this frame.
        cut: a new scene begins here.
        seconds: what the parts took: detect, pose, and own (tracking and smoothing).
    """

    poses: PoseResult
    time: float
    index: int
    detected: bool
    cut: bool
    seconds: dict[str, float] = field(default_factory=dict)
