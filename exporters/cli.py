"""`rtmpose-export`: a checkpoint in, a verified artifact out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rtmpose_sdk.cli.offline import offers_offline
from rtmpose_sdk.cli.options import Storage, parse_size, to_file
from rtmpose_sdk.cli.run import run, tidy_when_ended
from rtmpose_sdk.exporters.batch_profile import parse_batch
from rtmpose_sdk.exporters.choices import Backend, EndToEnd, InputKind, Precision, TensorRtFlavour
from rtmpose_sdk.exporters.extra import check_extra
from rtmpose_sdk.exporters.option_checks import check_options, read_figures
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, find_checkpoint

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_CROPS = 100
"""Most crops that are verified with."""


@app.command()
@offers_offline
@tidy_when_ended()
def export(
    context: typer.Context,
    weights: Annotated[
        str,
        typer.Option(
            help="Checkpoint (.pth) in the published layout, or an fp32 ONNX model with a card: a file, an "
            "address, or a name; or the folder of a run of rtmpose train. For --end2end any precision."
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
        typer.Option(
            help="Default: onnx and torch fp32; tensorrt fp16; openvino, ncnn fp16 weights. bf16 is asked "
            "for when an artifact is opened."
        ),
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
    check_options(
        context,
        weights=weights,
        out=out,
        backend=backend.value,
        precision=precision.value if precision else None,
        storage=storage.value,
        calibrate=calibrate,
        calibration_images=calibration_images,
        end2end=end2end.value if end2end else None,
        detector=detector,
        verify=verify,
        images=images,
        annotations=annotations,
    )
    figures = read_figures(accuracy or [])
    profile = parse_batch(batch) if batch is not None else None
    check_extra("rtmpose-export")

    from rtmpose_sdk.exporters.calibrate import DEFAULT_CROPS
    from rtmpose_sdk.exporters.open_subject import open_subject
    from rtmpose_sdk.exporters.overwriting import check_overwriting
    from rtmpose_sdk.exporters.run_export import (
        CalibrationSource,
        VerificationSource,
        run_end2end,
        run_export,
    )
    from rtmpose_sdk.exporters.settings import ExportSettings
    from rtmpose_sdk.exporters.subject import checkpoint_in

    half_storage = storage is Storage.FP16
    pictures = VerificationSource(images, annotations, crops or _CROPS) if verify else None
    if end2end is not None:
        run_end2end(
            end2end.value,
            out,
            weights=weights,
            detector=detector or DEFAULT_DETECTOR,
            detection_threshold=detection_threshold,
            half_storage=half_storage,
            verification=pictures,
        )
        return
    size = parse_size(input_size) if input_size else None
    found = find_checkpoint(checkpoint_in(weights))
    subject = open_subject(
        found,
        model=model,
        keypoints=keypoints,
        input_size=size,
        input_kind=input_kind.value,
        nms=nms,
        fixed_size=fixed_size,
        license_name=license_name,
        notes=notes,
        accuracy=figures,
    )
    check_overwriting(out, subject.file or found.path)
    settings = ExportSettings(
        backend.value,
        precision.value if precision else None,
        half_storage=half_storage,
        weight_bits=weight_bits or 8,
        batch=profile,
        targets=tuple(target or ()),
        timing_cache=timing_cache,
        flavour=flavour.value if flavour else None,
    )
    calibration = None
    if calibrate is not None:
        calibration = CalibrationSource(
            source=calibrate,
            folder=calibration_images,
            detector=calibration_detector or DEFAULT_DETECTOR,
            limit=calibration_crops or DEFAULT_CROPS,
        )
    run_export(
        subject, out, settings, weights=found.path.name, verification=pictures, calibration=calibration
    )


def main() -> None:
    """Entry point of `rtmpose-export`."""
    run(app)
