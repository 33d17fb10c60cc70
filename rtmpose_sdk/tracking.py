"""How are people told apart over time? The settings of a tracker."""

from __future__ import annotations

from dataclasses import dataclass

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.values import check_share, is_number


@dataclass(frozen=True)
class Tracking:
    """Settings of a tracker. Times are seconds, so that fps does not matter.

    Attributes:
        sure_score: detector's score from which on a newcomer is believed at once.
        new_score: score from which on one is believed when it is detected a second time.
        keep_score: score from which on a box may carry on a track that is there already.
        oks_weight: share of the pose in the cost, the rest is box IoU; 0...1.
        look_weight: how much of that mean other clothes take away, 0...1; 0 ignores them.
        least_likeness: least of that mean of OKS and IoU for which two are the same person.
        reentry: seconds for which a lost person may come back under the same id.
        oks_nms, overlap_nms: a pose alike a better one by more than both is a double.
        least_confidence: mean confidence of the better half of the keypoints below which a pose that no
            detection supports is nobody's.
        undetected: seconds for which a track lives on by its pose where the detector sees nobody; at least
            until after the next detection.
    """

    sure_score: float = 0.5
    new_score: float = 0.45
    keep_score: float = 0.15
    oks_weight: float = 0.4
    look_weight: float = 0.5
    least_likeness: float = 0.2
    reentry: float = 3.0
    oks_nms: float = 0.7
    overlap_nms: float = 0.7
    least_confidence: float = 0.25
    undetected: float = 1.0

    @classmethod
    def from_threshold(cls, threshold: float | None) -> Tracking:
        """The defaults with a least score for newcomers; who is followed already may score less.

        Args:
            threshold: 0...1; None leaves the defaults.

        Raises:
            InputError: not from 0 to 1.
        """
        usual = cls()
        if threshold is None:
            return usual
        check_share("detection_threshold", threshold)
        return cls(
            sure_score=max(usual.sure_score, threshold),
            new_score=threshold,
            keep_score=min(usual.keep_score, threshold),
        )

    def __post_init__(self) -> None:
        for name in ("sure_score", "new_score", "keep_score"):
            check_share(name, getattr(self, name))
        if not 0 <= self.keep_score <= self.new_score <= self.sure_score <= 1:
            raise InputError(f"{self}: expected 0 <= keep_score <= new_score <= sure_score <= 1")
        for name in ("oks_weight", "look_weight", "least_likeness", "oks_nms", "overlap_nms"):
            check_share(name, getattr(self, name))
        check_share("least_confidence", self.least_confidence)
        for name in ("reentry", "undetected"):
            seconds = getattr(self, name)
            if not is_number(seconds) or seconds < 0:
                raise InputError(f"{name} is {seconds!r} s; expected a finite number, at least 0")


def check_tracking(value: object) -> Tracking:
    """Settings of a tracker.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, Tracking):
        raise InputError(f"tracking is {value!r:.60}; expected Tracking(...), or None for the defaults")
    return value
