"""What does `rtmpose-export` do, once its options are known to go together?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from rtmpose_sdk.benchmarks.accuracy import artifact_accuracy, check_measurable
from rtmpose_sdk.errors import VerificationError
from rtmpose_sdk.exporters.backends import verification_device
from rtmpose_sdk.exporters.batch_profile import check_profile
from rtmpose_sdk.exporters.calibrate import calibration_images
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.end2end import Kind
from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part, verification_pictures
from rtmpose_sdk.exporters.export import Measure, export
from rtmpose_sdk.exporters.report import print_agreement, print_verification
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD


@dataclass(frozen=True)
class VerificationSource:
    """Real pictures to verify with: `--images`, `--annotations` and `--crops`."""

    images: Path | None
    annotations: Path | None
    limit: int


@dataclass(frozen=True, kw_only=True)
class CalibrationSource:
    """Real pictures to calibrate with: see `calibration_images`."""

    source: Path
    folder: Path | None
    detector: str
    limit: int


def run_export(
    subject: Subject,
    out: Path,
    settings: ExportSettings,
    *,
    weights: str,
    verification: VerificationSource | None,
    calibration: CalibrationSource | None,
) -> None:
    """Export, verify and report.

    Args:
        subject: what is exported.
        out: the artifact's main file.
        settings: what kind of artifact, but for the calibration.
        weights: what the subject was opened from, for people.
        verification: None does not verify.
        calibration: for int8.

    Raises:
        VerificationError: the artifact, which is kept, does not give what the subject gives.
        InputError, OutputError, MissingExtraError, EngineError: see `export`.
    """
    card = subject.card
    if settings.batch is not None:
        check_profile(settings.batch, card)
    crops = measure = None
    if verification is not None:
        images, annotations = verification.images, verification.annotations
        if images is not None and annotations is not None:
            check_measurable(annotations, images, card.keypoints() if card.task == "pose" else None)
            measure = _measure(annotations, images)
        crops = verification_images(card, images, annotations, verification.limit)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if calibration is not None:
            pictures = calibration_images(
                card,
                calibration.source,
                calibration.detector,
                limit=calibration.limit,
                track=lambda rows: progress.track(rows, description="calibration"),
                folder=calibration.folder,
            )
            settings = replace(settings, calibration=pictures)
        found = export(
            subject,
            out,
            crops,
            settings=settings,
            measure=measure,
            track=lambda rows: progress.track(rows, description="sensitive layers"),
        )
    print_verification(found, card, out)
    if found is not None and not found.verified:
        raise VerificationError(
            f"{out}: does not give what {weights} gives (see the table); it is kept for a look, and its "
            "card says verified: false"
        )


def run_end2end(
    kind: Kind,
    out: Path,
    *,
    weights: str,
    detector: str,
    detection_threshold: float | None,
    half_storage: bool,
    verification: VerificationSource | None,
) -> None:
    """`--end2end`: put networks into one file, verify and report.

    Args:
        kind: what the file does.
        out: the file.
        weights: the network; of a pipeline, that of the poses.
        detector: of a pipeline.
        detection_threshold: least score of a box; None is the usual one.
        half_storage: store weights as fp16.
        verification: None does not verify.

    Raises:
        VerificationError: the file, which is kept, does not give what Python gives.
        InputError, OutputError, ModelFileError, CardError: see `read_part` and `export_end2end`.
    """
    pose = None if kind == "detector" else read_part(weights, half_storage)
    finder = (
        None if kind == "pose" else read_part(weights if kind == "detector" else detector, half_storage)
    )
    pictures = None
    if verification is not None:
        pictures = verification_pictures(verification.images, verification.annotations, verification.limit)
    found = export_end2end(
        kind,
        out,
        pose=pose,
        detector=finder,
        detection_threshold=(
            DEFAULT_DETECTION_THRESHOLD if detection_threshold is None else detection_threshold
        ),
        pictures=pictures,
    )
    print_agreement(found, kind, out)
    if found is not None and not found.verified:
        raise VerificationError(
            f"{out}: does not give what Python gives with the same networks (see the table); it is kept "
            "for a look, and its metadata says verified: false"
        )


def _measure(annotations: Path, images: Path) -> Measure:
    """AP of an artifact: of keypoints in ground-truth boxes, or of boxes."""
    return lambda artifact: artifact_accuracy(
        artifact, annotations, images, device=verification_device(artifact)
    )["AP"]
