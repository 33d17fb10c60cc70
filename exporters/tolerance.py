"""How far may an artifact of a precision be from the fp32 model?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tolerance:
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
    "fp32": Tolerance(relative=1e-4, tie=1e-4, slack=1e-3, median=0.01, p99=0.5, worst=0.5, accuracy=0.001),
    "fp16-storage": Tolerance(
        relative=2e-2, tie=5e-3, slack=1e-2, median=0.5, p99=1.0, worst=1.0, accuracy=0.003
    ),
    "fp16": Tolerance(relative=2e-2, tie=5e-3, slack=1e-2, median=0.5, p99=1.0, worst=None, accuracy=0.005),
    "bf16": Tolerance(relative=None, tie=1e-2, slack=5e-2, median=0.5, p99=2.0, worst=None, accuracy=0.005),
    "int8": Tolerance(relative=None, tie=1e-2, slack=0.2, median=1.0, p99=None, worst=None, accuracy=0.01),
}
"""By precision; "fp16-storage" is fp32 arithmetic with weights stored as fp16: they are
rounded as in "fp16", so an output may be as far off, but no keypoint may move.

In int8 a keypoint that the network doubts may land on another peak, and a weak box on another person: the
most frequent shift has to be small, and no more AP may be lost than this, where it is measured.
"""
