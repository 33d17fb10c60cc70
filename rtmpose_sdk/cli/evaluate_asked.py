"""`rtmpose eval`: what was asked for, and does it go together?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtmpose_sdk.cli.options import output_of_kind, parse_size, refuse_replacing, refuse_same_file
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import DRAWN_SUFFIXES
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.profile import AUTO
from rtmpose_sdk.zoo import existing


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command's options, by their names in `rtmpose_sdk.cli.evaluate`."""

    annotations: Path
    images: Path
    pose: str
    detector: str | None
    detector_size: str | None
    device: str
    threads: int | None
    engine: str | None
    precision: str | None
    flip_test: bool
    detection_threshold: float | None
    boxes_only: bool
    json_file: Path | None
    results_file: Path | None
    alone: bool
    allow_missing: bool
    per_keypoint: bool
    distances: bool
    normalize_by: tuple[str, str] | None
    calibration: bool
    reliability: Path | None
    processes: int
    batch: int
    resume: Path | None
    worst: tuple[int, Path] | None
    write_card: bool

    @property
    def boxes_of(self) -> str | None:
        """The detector whose boxes are measured; None: keypoints are."""
        return self.detector if self.boxes_only else None

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) px of the pictures that the detector gets at most; None is its card's."""
        return None if self.detector_size is None else parse_size(self.detector_size, square=True)

    @property
    def threshold(self) -> float:
        """Least score of a box that a person is posed in."""
        return DEFAULT_DETECTION_THRESHOLD if self.detection_threshold is None else self.detection_threshold

    @property
    def details(self) -> bool:
        """Is anything wanted that looks at persons one by one?"""
        figures = self.per_keypoint or self.distances or self.normalize_by or self.calibration
        pictures = self.reliability or self.worst
        return bool(figures or pictures)


def check_options(asked: Asked) -> None:
    """Fail before the work, not after it.

    Raises:
        InputError: options that do not go together, or say nothing that can be.
        OutputError: the sheet of the worst persons is no picture or cannot be written, or a file would
            replace the annotations, a model, or another file that is asked for.
    """
    if asked.pose == AUTO and existing(asked.pose) is None and not asked.boxes_only:
        raise InputError(
            "--pose auto is a profile of rtmpose tune, with several settings; expected the one model that "
            "is to be measured: the profile names its file"
        )
    if asked.boxes_only and asked.detector is None:
        raise InputError("--boxes-only measures a detector; name it with --detector")
    if asked.detector_size is not None:
        parse_size(asked.detector_size, square=True)
    of_keypoints = asked.details or asked.alone or asked.resume or asked.flip_test or asked.processes > 1
    if asked.boxes_only and of_keypoints:
        raise InputError(
            "--boxes-only goes without --single-person, --per-keypoint, --distances, --calibration, "
            "--reliability, --worst, --resume, --flip-test and --processes, which are of keypoints"
        )
    if asked.detection_threshold is not None and (asked.boxes_only or asked.detector is None):
        from rtmpose_sdk.benchmarks.accuracy import LEAST_SCORE

        raise InputError(
            "--detection-threshold is of boxes that persons are posed in: expected --detector, and no "
            f"--boxes-only (which takes all boxes above {LEAST_SCORE}, as COCO does)"
        )
    if asked.worst is not None:
        count, sheet = asked.worst
        if count < 1:
            raise InputError(f"--worst {count}; expected at least 1 person")
        output_of_kind(sheet, DRAWN_SUFFIXES)
    written: dict[str, Path | None] = {
        "--json": asked.json_file,
        "--results": asked.results_file,
        "--resume": asked.resume,
        "--reliability": asked.reliability,
        "--worst": None if asked.worst is None else asked.worst[1],
    }
    read = (("annotations", asked.annotations), ("pose model", asked.pose), ("detector", asked.detector))
    refuse_replacing(written.values(), read)
    refuse_same_file(written.items())


def posed_in(detector: str | None) -> str:
    """The boxes that persons are posed in, in words."""
    return f"boxes of {detector}" if detector else "ground-truth boxes"
