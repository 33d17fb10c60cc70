"""How far may an artifact of a precision be from the fp32 model?"""

from __future__ import annotations

from typing import NamedTuple


class Tolerance(NamedTuple):
    """Limits of a precision; None is no limit.

    Attributes:
        relative: largest difference of an output, in units of that output's largest value.
        tie: two bins of the reference whose heights differ by less than twice this part of the largest
            value are a tie: a keypoint that moved from one to the other is not wrong.
        slack: scores and overlaps of boxes this near to a threshold may fall on either side of it.
        median, p99, worst: shift of keypoints or boxes' sides, px of the network input, ties aside.
        accuracy: AP that may be lost, 0...1, where it is measured.
    """

    relative: float | None
    tie: float
    slack: float
    median: float
    p99: float | None
    worst: float | None
    accuracy: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 1e-4, 1e-3, 0.01, 0.5, 0.5, 0.001),
    "fp16-storage": Tolerance(2e-2, 5e-3, 1e-2, 0.5, 1.0, 1.0, 0.003),
    "fp16": Tolerance(2e-2, 5e-3, 1e-2, 0.5, 1.0, None, 0.005),
    "bf16": Tolerance(None, 1e-2, 5e-2, 0.5, 2.0, None, 0.005),
    "int8": Tolerance(None, 1e-2, 0.2, 1.0, None, None, 0.01),
}
"""By precision; "fp16-storage" is fp32 arithmetic with weights stored as fp16: they are
rounded as in "fp16", so an output may be as far off, but no keypoint may move.

In int8 a keypoint that the network doubts may land on another peak, and a weak box on another person: the
most frequent shift has to be small, and no more AP may be lost than this, where it is measured.
"""
