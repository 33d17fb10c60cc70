"""`rtmpose tune`: the fastest configuration of this machine that is accurate enough."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.card import FITTING
from rtmpose_sdk.cli.options import Pose, Threads, detector_meant, parse_size, refuse_replacing, to_file
from rtmpose_sdk.cli.tune_stopped import STATUS, report
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import pictures_in, read_image
from rtmpose_sdk.profile import (
    AUTO,
    NetworkSettings,
    Profile,
    auto_file,
    engine_versions,
    hashes,
    this_machine,
)
from rtmpose_sdk.runtimes import allowed_cores
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE, existing

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.tune import Choice, Found, Setting
    from rtmpose_sdk.card import ModelCard, Task
    from rtmpose_sdk.exporters.candidates import Variants

_PICTURES = 100
_INTERVALS = "1,2,5,10"
_HOUR = 3_600_000.0
"""In ms: limits are written into the profile, and JSON has no infinity."""
_SMALLER = 0.8
"""Of a detector's own size, what is tried beside it."""
_PAN = 0.75
"""Share of the photograph's width that is seen where no video is given."""


def tune(
    pose: Pose = DEFAULT_POSE,
    detector: Annotated[
        str, typer.Option(help="Detector: a name, an artifact, an SDK folder; auto: the bundled one.")
    ] = DEFAULT_DETECTOR,
    max_ms: Annotated[
        float | None, typer.Option(min=0, max=_HOUR, help="Most ms a frame, on average.")
    ] = None,
    max_ap_loss: Annotated[
        float | None, typer.Option(min=0, max=100, help="Most points that may be lost against fp32.")
    ] = None,
    threads: Threads = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Pictures like yours, or a COCO json with images/ beside it: allows int8."),
    ] = None,
    crops: Annotated[int, typer.Option(min=1, help="Crops to calibrate with.")] = 256,
    fp32: Annotated[
        bool, typer.Option("--fp32", help="No other precision: what the model says, and nothing else.")
    ] = False,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO keypoints: the loss is of AP. Not those of --calibrate.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Their pictures; without --annotations the loss is of agreement.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out annotated pictures that are not there.")
    ] = False,
    video: Annotated[
        Path | None, typer.Option(help="Clip to time on; default: a pan over the bundled photograph.")
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames of the clip.")] = 20,
    persons: Annotated[int, typer.Option(min=1, help="Persons in a frame, for the batch.")] = 4,
    intervals: Annotated[str, typer.Option(help="Detector intervals to try, frames.")] = _INTERVALS,
    detector_sizes: Annotated[
        str | None,
        typer.Option(
            help="Pictures up to these sizes for the detector, px, where its sides are open: 256,288 or "
            "416x256; default: its own and 0.8 of it where there are --images to measure the loss on."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Passes of the clip for each finalist.")] = 16,
    candidate: Annotated[
        list[Path] | None,
        typer.Option(help="An artifact of the same network that was exported before; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, to_file(help="Write the profile here instead of for Pipeline('auto').")
    ] = None,
) -> None:
    """Find engine, precision, threads, batch, and the detector's interval and size, by measuring here.

    Ctrl-C prints what was measured so far, and writes no profile; with --out it is kept in a file beside.
    """
    if annotations is not None and images is None:
        raise InputError("--annotations needs --images, the folder with their pictures")
    if allow_missing and annotations is None:
        raise InputError("--allow-missing is of the pictures of --annotations; give them, or leave it out")
    if fp32 and calibrate is not None:
        raise InputError("--calibrate is for int8, and --fp32 is without; leave out one of them")
    if pose == AUTO and existing(pose) is None:
        raise InputError("--pose auto is a profile of this command; expected the model that is to be tuned")
    detector = detector_meant(pose, detector) or DEFAULT_DETECTOR
    read: list[tuple[str, Path | str | None]] = [
        ("annotations", annotations), ("annotations of --calibrate", calibrate), ("clip", video),
        ("pose model", pose), ("detector", detector), *(("candidate", file) for file in candidate or ()),
    ]  # fmt: skip
    refuse_replacing([out], read)
    from rtmpose_sdk.artifacts import artifact_card
    from rtmpose_sdk.benchmarks.accuracy import check_measurable
    from rtmpose_sdk.benchmarks.halving import choose
    from rtmpose_sdk.benchmarks.tune import Job, Stopped, Truth
    from rtmpose_sdk.benchmarks.tune import tune as search

    console = Console(stderr=True)
    if annotations is not None and images is not None:  # before minutes of search
        keypoint_set = artifact_card(pose).keypoints()
        missing = check_measurable(annotations, images, keypoint_set, allow_missing)
        if missing:
            said = f"{len(missing)} pictures are missing: {', '.join(missing)}"
            console.print(said, markup=False, soft_wrap=True)
    every = _intervals(intervals)
    # Before the exports, too: what cannot be read costs minutes otherwise.
    clip, pictures = _clip(video, frames), _pictures(images) if annotations is None else []
    files = tuple(candidate or ())
    card = artifact_card(detector)
    sizes = _sizes(detector_sizes, card, measured=images is not None)
    alike = (calibrate, detector, crops, files, fp32)
    poses, finders = _variants(pose, "pose", [], *alike), _variants(detector, "detect", sizes, *alike)
    taken = {v.input_size for v in finders.able} | {card.input_size}
    for size in sizes if detector_sizes is not None else []:
        if size not in taken:
            why = next(reason for reason in finders.left_out if "up to {}x{}: ".format(*size) in reason)
            raise InputError(f"--detector-sizes {detector_sizes}: {why}")
    for reason in dict.fromkeys((*poses.left_out, *finders.left_out)):
        console.print(f"left out: {reason}", markup=False, soft_wrap=True)
    most = threads or allowed_cores()
    job = Job(
        poses.able,
        finders.able,
        clip,
        pictures,
        Truth(annotations, images, allow_missing)
        if annotations is not None and images is not None
        else None,
        most,
        persons,
        every,
        runs,
    )
    try:
        found = search(job, lambda line: console.print(line, markup=False, soft_wrap=True))
    except Stopped as stopped:
        report(stopped, out)
        raise typer.Exit(STATUS) from None
    best = choose(found.points, max_ms, max_ap_loss)
    _print(found, best, video, images, annotations)
    limits = {"max_ms": max_ms, "max_ap_loss": max_ap_loss, "threads": most}
    if best is None:
        raise InputError(
            f"no configuration within {_limits(max_ms, max_ap_loss)}: the fastest takes "
            f"{min(p.ms for p in found.points.values()):.2f} ms, the most accurate loses "
            f"{min(p.loss for p in found.points.values()):.2f}; no profile is written. Allow more, or give "
            "a smaller model with --pose"
        )
    target = out or auto_file()
    target.parent.mkdir(parents=True, exist_ok=True)
    _profile(found, found.choices[best], best, limits).save(target)
    use = "Pipeline('auto')" if out is None else f"Pipeline(profile='{out}')"
    Console().print(f"profile: {target}; use it with {use}", markup=False, soft_wrap=True)


def _limits(max_ms: float | None, max_ap_loss: float | None) -> str:
    """The limits that were given, in words."""
    given = {"--max-ms": max_ms, "--max-ap-loss": max_ap_loss}
    return " and ".join(f"{option} {limit:g}" for option, limit in given.items() if limit is not None)


def _intervals(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(p.strip().isdecimal() and int(p) for p in parts):
        raise InputError(f"--intervals '{text}'; expected frames, for example {_INTERVALS}")
    return tuple(sorted({int(p) for p in parts}))


def _sizes(text: str | None, card: ModelCard, measured: bool) -> list[tuple[int, int]]:
    """Sizes for the detector's pictures: unasked for only where what they lose is measured."""
    if text is not None:
        return [parse_size(part.strip(), square=True) for part in text.split(",")]
    if not measured or card.decoder not in FITTING:
        return []
    step = max(card.strides)
    width, height = (max(step, round(_SMALLER * side / step) * step) for side in card.input_size)
    return [card.input_size, (width, height)]


def _variants(
    source: str,
    task: Task,
    sizes: list[tuple[int, int]],
    calibrate: Path | None,
    detector: str,
    crops: int,
    files: tuple[Path, ...],
    only_fp32: bool,
) -> Variants:
    from rtmpose_sdk.artifacts import artifact_card
    from rtmpose_sdk.exporters.candidates import variants

    calibration = None
    if calibrate is not None:
        from rtmpose_sdk.exporters.calibrate import calibration_images

        calibration = calibration_images(artifact_card(source), calibrate, detector, limit=crops)
    others = [f for f in files if artifact_card(f).task == task]
    return variants(source, task, calibration, others=others, sizes=sizes, only_fp32=only_fp32)


def _clip(video: Path | None, frames: int) -> list[NDArray[np.uint8]]:
    """Frames of the video, or a pan over the photograph."""
    if video is None:
        photo = read_image(Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg"))))
        width = photo.shape[1]
        window = int(_PAN * width)
        starts = np.linspace(0, width - window, frames).astype(int)
        return [np.ascontiguousarray(photo[:, x : x + window]) for x in starts]
    from rtmpose_sdk.sources import open_source

    with open_source(video) as source:
        clip = [frame.image for frame in islice(source, frames)]
    if len(clip) < frames:
        raise InputError(f"{video}: {len(clip)} frames; expected {frames} or more (--frames)")
    return clip


def _pictures(images: Path | None) -> list[NDArray[np.uint8]]:
    """Up to `_PICTURES` of a folder; without one, the bundled photograph."""
    if images is None:
        return [read_image(Path(str(resources.files("rtmpose_sdk").joinpath("data/astronaut.jpg"))))]
    return [read_image(file) for file in pictures_in(images)[:_PICTURES]]


def _print(
    found: Found, best: str | None, video: Path | None, images: Path | None, annotations: Path | None
) -> None:
    """The Pareto front, and what its figures are of."""
    from rtmpose_sdk.benchmarks.halving import pareto

    table = Table("ms", "loses", "pose", "detector", "every", "")
    names = list(dict.fromkeys([*pareto(found.points), *([best] if best else [])]))
    for name in names:
        choice, point = found.choices[name], found.points[name]
        table.add_row(
            f"{point.ms:.2f}", f"{point.loss:.2f}", choice.pose.name, choice.detector.name,
            str(choice.detect_every), "<-" if name == best else "",
        )  # fmt: skip
    console = Console()
    console.print(table)
    clip = video.name if video else "a pan over the bundled photograph"
    of = (
        f"AP points on {annotations.name}" if annotations else
        "agreement with the fp32 keypoints (100 x (1 - mean OKS)) on "
        f"{images or 'the bundled photograph'}, not AP: give --annotations and --images for that"
    )  # fmt: skip
    console.print(
        f"{len(found.points)} of {len(found.choices)} pipelines measured to the end. "
        f"ms: a frame of {clip}, on average. "
        f"loses: {of}; and what the interval loses, by agreement on that clip",
        markup=False,
        soft_wrap=True,
    )


def _profile(found: Found, choice: Choice, name: str, limits: dict[str, Any]) -> Profile:
    point = found.points[name]
    pose, detector = _settings(choice.pose), _settings(choice.detector)
    return Profile(
        pose,
        detector,
        choice.pose.batch,
        choice.detect_every,
        this_machine(),
        engine_versions(sorted({s.engine for s in (pose, detector) if s.engine})),
        {
            "ms": point.ms,
            "loss": point.loss,
            "loss_of": found.loss_of,
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        },
        limits,
    )


def _settings(setting: Setting) -> NetworkSettings:
    from rtmpose_sdk.exporters.candidates import Variant

    variant = setting.variant
    assert isinstance(variant, Variant)  # made by `_variants`
    path = variant.path.resolve()
    return NetworkSettings(
        str(path), variant.engine, variant.precision, setting.threads, hashes(path), variant.input_size
    )
