"""Which options of `rtmpose-export` go together?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import typer

from rtmpose_sdk.cli.options import refuse_given
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.exporters.backends import BACKENDS, check_precision

_OF_CALIBRATION = ("calibration_images", "calibration_crops", "calibration_detector", "weight_bits")
_OF_NETWORKS = (
    *("backend", "precision", "model", "keypoints", "input_size", "input_kind", "nms", "fixed_size"),
    *("license_name", "accuracy", "notes", "batch", "target", "timing_cache", "flavour"),
)
"""Options that change a network, or its card."""


def check_options(
    context: typer.Context,
    *,
    weights: str,
    out: Path,
    backend: str,
    precision: str | None,
    storage: str,
    calibrate: Path | None,
    calibration_images: Path | None,
    end2end: str | None,
    detector: str | None,
    verify: bool,
    images: Path | None,
    annotations: Path | None,
) -> None:
    """Refuse options that contradict each other, or that would be passed over.

    Args:
        context: of the command that runs. The others are its options.

    Raises:
        InputError: says which, and what to give instead.
        OutputError: the folder of the artifact does not exist.
    """
    suffix = BACKENDS[backend].suffix
    if out.suffix != suffix:
        others = [name for name, other in BACKENDS.items() if other.suffix == out.suffix]
        instead = "".join(f", or --backend {name}" for name in others)
        raise InputError(
            f"--out {out}: expected a name that ends in {suffix} (--backend {backend}){instead}"
        )
    if not out.parent.is_dir():
        raise OutputError(f"{out}: its folder does not exist")
    if not weights or detector == "":
        raise InputError("--weights or --detector is empty; expected a file, an address, or a name")
    if annotations is not None and images is None:
        raise InputError("--annotations needs --images, the folder with their pictures")
    int8 = check_precision(backend, precision) == "int8"
    if int8 != (calibrate is not None):
        raise InputError(
            "--precision int8 and --calibrate go together: int8 is calibrated on real pictures; for "
            "example --calibrate coco/, a folder with annotations or pictures"
        )
    for names, why in _passed_over(backend, int8=int8, storage=storage, end2end=end2end, verify=verify):
        refuse_given(context, names, why)
    if calibration_images is not None and not calibration_images.is_dir():
        raise InputError(f"--calibration-images {calibration_images}: not a folder; expected pictures")


def _passed_over(
    backend: str, *, int8: bool, storage: str, end2end: str | None, verify: bool
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Options that such an export does not look at, and why; in the order in which they are told."""
    if not int8:
        yield _OF_CALIBRATION, "for --precision int8 with --calibrate"
    if backend not in ("onnx", "openvino"):
        yield ("weight_bits",), "for --backend onnx and openvino"
    if not verify:
        yield ("images", "annotations", "crops"), "to verify with; leave out --no-verify, or these"
    if end2end != "pipeline":
        yield ("detector",), "for --end2end pipeline"
    if end2end not in ("detector", "pipeline"):
        yield (
            ("detection_threshold",),
            "for --end2end detector and pipeline; of other artifacts it is chosen when they run",
        )
    if end2end is not None:
        yield (
            _OF_NETWORKS,
            "--end2end puts networks as they are into one ONNX file; leave it out, or export the network "
            "first, int8 too, and give that file as --weights",
        )
    if backend != "onnx":
        yield ("storage",), f"for ONNX; with --backend {backend} say --precision {storage}"
    if backend != "tensorrt":
        yield ("batch", "target", "timing_cache", "flavour"), "for --backend tensorrt"


def read_figures(pairs: list[str]) -> dict[str, float]:
    """NAME=VALUE, each a measured figure.

    Raises:
        InputError: not such text.
    """
    figures = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        wrong = InputError(f"--accuracy {pair!r}; expected NAME=VALUE with a finite number")
        try:
            figure = float(value)
        except ValueError:
            raise wrong from None
        if not name.strip() or not math.isfinite(figure):
            raise wrong
        figures[name.strip()] = figure
    return figures
