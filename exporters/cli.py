"""`rtmpose-export`: a checkpoint in, a verified artifact out."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from rtmpose_sdk.cli.offline import offers_offline
from rtmpose_sdk.cli.options import Storage, parse_size, refuse_given, to_file
from rtmpose_sdk.cli.run import run, tidy_when_ended
from rtmpose_sdk.errors import InputError, OutputError, VerificationError
from rtmpose_sdk.exporters.asked import open_subject, read_figures
from rtmpose_sdk.exporters.backends import BACKENDS, check_precision, verification_device
from rtmpose_sdk.exporters.extra import check_extra
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, find_checkpoint

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_CROPS = 100
"""Most crops that are verified with."""
_OF_NETWORKS = (
    *("backend", "precision", "model", "keypoints", "input_size", "input_kind", "nms", "fixed_size"),
    *("license_name", "accuracy", "notes", "batch", "target", "timing_cache", "flavour"),
)
"""Options that change a network, or its card."""


class Backend(str, enum.Enum):
    """Engines that artifacts are made for: the keys of `BACKENDS`."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    NCNN = "ncnn"
    TORCH = "torch"


class Precision(str, enum.Enum):
    """What an artifact computes or stores in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class TensorRtFlavour(str, enum.Enum):
    """Which of the two engines of NVIDIA: the values of `Flavour`."""

    TENSORRT = "tensorrt"
    RTX = "tensorrt-rtx"


class InputKind(str, enum.Enum):
    """What the artifact takes."""

    IMAGE = "image"
    TENSOR = "tensor"


class EndToEnd(str, enum.Enum):
    """What one file does from the picture on."""

    POSE = "pose"
    DETECTOR = "detector"
    PIPELINE = "pipeline"


@app.command()
@offers_offline
@tidy_when_ended()
def export(
    context: typer.Context,
    weights: Annotated[
        str,
        typer.Option(
            help="Checkpoint (.pth) in the published layout, or an fp32 ONNX model with a card: a file, an "
            "address, or a name. For --end2end any precision."
        ),
    ],
    out: Annotated[
        Path,
        to_file(help="The artifact: .onnx, .xml (OpenVINO), .engine (TensorRT), .param (ncnn), .pt2."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="rtmpose-t, rtmdet-nano, rtmw-l, ...; default: read from the weights."),
    ] = None,
    backend: Annotated[Backend, typer.Option(help="Engine to export for.")] = Backend.ONNX,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Default: onnx and torch fp32; tensorrt fp16; openvino, ncnn fp16 weights."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="int8: COCO json, folder with one, or folder of pictures, to calibrate with."),
    ] = None,
    calibration_images: Annotated[
        Path | None,
        typer.Option(help="int8: pictures of the COCO json; default: images/ beside it, or beside it."),
    ] = None,
    calibration_crops: Annotated[
        int | None, typer.Option(min=32, help="int8: most crops to calibrate with; default: 256.")
    ] = None,
    calibration_detector: Annotated[
        str | None,
        typer.Option(
            help="int8: finds the persons in pictures without annotations; default: " + DEFAULT_DETECTOR
        ),
    ] = None,
    weight_bits: Annotated[
        int | None,
        typer.Option(
            min=7,
            max=8,
            help="int8, onnx and openvino: with 7, x86 without VNNI cannot overflow; default: 8.",
        ),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="TensorRT: smallest, usual and largest batch; default 1:1:8.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="TensorRT for RTX: GPU to build for, sm75 ... sm120; repeatable."),
    ] = None,
    timing_cache: Annotated[Path | None, to_file(help="TensorRT: file of measured kernels.")] = None,
    flavour: Annotated[
        TensorRtFlavour | None,
        typer.Option(help="TensorRT or TensorRT for RTX; default: the one that is installed or can."),
    ] = None,
    keypoints: Annotated[
        str | None,
        typer.Option(
            help="Keypoint set, or the .json file of one; default: the one with as many keypoints."
        ),
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(help="WIDTHxHEIGHT px; default: read from the weights, or the model's."),
    ] = None,
    end2end: Annotated[
        EndToEnd | None,
        typer.Option(
            help="One ONNX file from the picture on: pose (picture and boxes), detector, or pipeline."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="--end2end pipeline: the detector in front of --weights; default: " + DEFAULT_DETECTOR
        ),
    ] = None,
    detection_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="--end2end detector, pipeline: least score of a box; default: "
            + str(DEFAULT_DETECTION_THRESHOLD),
        ),
    ] = None,
    input_kind: Annotated[
        InputKind,
        typer.Option("--input", help="image: uint8 NHWC BGR, all inside; tensor: normalised NCHW."),
    ] = InputKind.IMAGE,
    nms: Annotated[bool, typer.Option("--nms", help="Detector: NonMaxSuppression in the graph.")] = False,
    fixed_size: Annotated[
        bool, typer.Option("--fixed-size", help="Detector: the graph takes its input size and no other.")
    ] = False,
    storage: Annotated[
        Storage, typer.Option(help="ONNX: fp16 halves the file; arithmetic stays as it is.")
    ] = Storage.FP32,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare the artifact with what was exported.")
    ] = True,
    images: Annotated[
        Path | None, typer.Option(help="Pictures to verify with; default: the bundled photograph.")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="COCO json of those pictures: boxes of persons, and AP before and after."),
    ] = None,
    crops: Annotated[
        int | None,
        typer.Option(min=1, help="Most crops to verify with; --end2end: pictures. Default: 100."),
    ] = None,
    license_name: Annotated[
        str, typer.Option("--license", help="Licence of the weights, SPDX.")
    ] = "unknown",
    accuracy: Annotated[
        list[str] | None,
        typer.Option(help="A measured figure for the card, NAME=VALUE; repeatable."),
    ] = None,
    notes: Annotated[str, typer.Option(help="A sentence for the card.")] = "",
) -> None:
    """Export a model and prove that the artifact gives the same keypoints."""
    suffix = BACKENDS[backend.value].suffix
    if out.suffix != suffix:
        raise InputError(f"--out {out}: expected a name that ends in {suffix} (--backend {backend.value})")
    if not weights or detector == "":
        raise InputError("--weights or --detector is empty; expected a file, an address, or a name")
    if annotations is not None and images is None:
        raise InputError("--annotations needs --images, the folder with their pictures")
    kind = check_precision(backend.value, precision.value if precision else None)
    if (kind == "int8") != (calibrate is not None):
        raise InputError(
            "--precision int8 and --calibrate go together: int8 is calibrated on real pictures; for "
            "example --calibrate coco/, a folder with annotations or pictures"
        )
    if kind != "int8":
        names = ["calibration_images", "calibration_crops", "calibration_detector", "weight_bits"]
        refuse_given(context, names, "for --precision int8 with --calibrate")
    if backend not in (Backend.ONNX, Backend.OPENVINO):
        refuse_given(context, ["weight_bits"], "for --backend onnx and openvino")
    if not verify:
        names = ["images", "annotations", "crops"]
        refuse_given(context, names, "to verify with; leave out --no-verify, or these")
    if end2end is not EndToEnd.PIPELINE:
        refuse_given(context, ["detector"], "for --end2end pipeline")
    if end2end not in (EndToEnd.DETECTOR, EndToEnd.PIPELINE):
        refuse_given(
            context,
            ["detection_threshold"],
            "for --end2end detector and pipeline; of other artifacts it is chosen when they run",
        )
    if calibration_images is not None and not calibration_images.is_dir():
        raise InputError(f"--calibration-images {calibration_images}: not a folder; expected pictures")
    half = storage is Storage.FP16
    if end2end is not None:
        refuse_given(
            context,
            _OF_NETWORKS,
            "--end2end puts networks as they are into one ONNX file; leave it out, or export the network "
            "first, int8 too, and give that file as --weights",
        )
        _end2end(
            end2end,
            weights,
            detector or DEFAULT_DETECTOR,
            DEFAULT_DETECTION_THRESHOLD if detection_threshold is None else detection_threshold,
            out,
            half,
            verify,
            images,
            annotations,
            crops or _CROPS,
        )
        return
    if backend is not Backend.ONNX:
        refuse_given(
            context,
            ["storage"],
            f"for ONNX; with --backend {backend.value} say --precision {storage.value}",
        )
    if backend is not Backend.TENSORRT:
        refuse_given(context, ["batch", "target", "timing_cache", "flavour"], "for --backend tensorrt")
    figures = read_figures(accuracy or [])
    check_extra("rtmpose-export")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: its folder does not exist")

    from rtmpose_sdk.benchmarks.accuracy import check_measurable
    from rtmpose_sdk.exporters.calibrate import DEFAULT_CROPS
    from rtmpose_sdk.exporters.calibrate import calibration_images as read_calibration
    from rtmpose_sdk.exporters.crops import verification_images
    from rtmpose_sdk.exporters.export import export
    from rtmpose_sdk.exporters.overwriting import check_overwriting
    from rtmpose_sdk.exporters.report import print_verification
    from rtmpose_sdk.exporters.tensorrt import check_profile, parse_batch
    from rtmpose_sdk.exporters.wish import Wish

    size = parse_size(input_size) if input_size else None
    checkpoint, published = find_checkpoint(weights)
    if published is not None:
        keypoints = keypoints or published.keypoint_set or None
        license_name = published.license if license_name == "unknown" else license_name
    subject = open_subject(
        checkpoint, model, keypoints, size, input_kind.value, nms, license_name, notes, figures
    )
    if fixed_size:
        if subject.card.task != "detect":
            raise InputError(f"--fixed-size is for detectors; {subject.card.name} has one size anyway")
        subject = subject.full()
    card = subject.card
    check_overwriting(out, subject.file or checkpoint)
    profile = parse_batch(batch) if batch else None
    if profile is not None:
        check_profile(profile, card)
    measure = None
    if verify and annotations and images:
        check_measurable(annotations, images, card.keypoints() if card.task == "pose" else None)
        measure = _measure(annotations, images)
    pictures = verification_images(card, images, annotations, crops or _CROPS) if verify else None
    with Progress(console=Console(stderr=True), transient=True) as progress:
        calibration = None
        if calibrate is not None:
            calibration = read_calibration(
                card,
                calibrate,
                calibration_detector or DEFAULT_DETECTOR,
                calibration_crops or DEFAULT_CROPS,
                lambda rows: progress.track(rows, description="calibration"),
                calibration_images,
            )
        wish = Wish(
            backend.value,
            kind,
            half,
            calibration,
            profile,
            tuple(target or ()),
            timing_cache,
            flavour.value if flavour else None,
            weight_bits or 8,
        )
        found = export(
            subject,
            out,
            pictures,
            wish,
            measure,
            lambda rows: progress.track(rows, description="sensitive layers"),
        )
    print_verification(found, card, out)
    if found is not None and not found.verified:
        raise VerificationError(
            f"{out}: does not give what {checkpoint.name} gives (see the table); it is kept for a look, "
            "and its card says verified: false"
        )


def _end2end(
    end2end: EndToEnd,
    weights: str,
    detector: str,
    detection_threshold: float,
    out: Path,
    half: bool,
    verify: bool,
    images: Path | None,
    annotations: Path | None,
    limit: int,
) -> None:
    """`--end2end`."""
    check_extra("rtmpose-export")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: its folder does not exist")
    from rtmpose_sdk.exporters.end2end_export import (
        export_end2end,
        print_agreement,
        read_part,
        verification_pictures,
    )

    alone = end2end is EndToEnd.DETECTOR
    pose = None if alone else read_part(weights, half)
    finder = read_part(weights if alone else detector, half) if end2end is not EndToEnd.POSE else None
    pictures = verification_pictures(images, annotations, limit) if verify else None
    found = export_end2end(end2end.value, out, pose, finder, detection_threshold, pictures)
    print_agreement(found, end2end.value, out)
    if found is not None and not found.verified:
        raise VerificationError(
            f"{out}: does not give what Python gives with the same networks (see the table); it is kept "
            "for a look, and its metadata says verified: false"
        )


def _measure(annotations: Path, images: Path) -> Any:
    """AP of an artifact: of keypoints in ground-truth boxes, or of boxes."""
    from rtmpose_sdk.benchmarks.accuracy import artifact_accuracy

    return lambda artifact: artifact_accuracy(
        artifact, annotations, images, device=verification_device(artifact)
    )["AP"]


def main() -> None:
    """Entry point of `rtmpose-export`."""
    run(app)
