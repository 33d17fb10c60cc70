"""`rtmpose predict`: pictures in, drawn pictures and one JSON out; videos go to `predict_video`."""

from __future__ import annotations

import enum
import glob
import json
import math
import os
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rtmpose_sdk.cli.options import (
    DetectorOption,
    DetectorSize,
    DeviceOption,
    EngineOption,
    Pose,
    PrecisionOption,
    Threads,
    limit_opencv,
    parse_size,
)
from rtmpose_sdk.cli.predict_sources import VideoInput, name_of, split_sources
from rtmpose_sdk.cli.predict_video import (
    DEFAULT_SAVE,
    VideoOptions,
    check_places,
    parse_save,
    predict_video,
)
from rtmpose_sdk.cli.run import print_error
from rtmpose_sdk.cli.stopping import asked_to_stop
from rtmpose_sdk.drawing import ColorBy, Painter
from rtmpose_sdk.errors import ImageError, InputError, OutputError
from rtmpose_sdk.images import IMAGE_SUFFIXES, read_image, write_bytes, write_image
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD, Pipeline
from rtmpose_sdk.stream import DETECT_EVERY
from rtmpose_sdk.tracking import Tracking
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE

_VIDEOS, _DRAWING = "Videos", "Drawing"
_FOR_VIDEOS = (
    *("save", "detect_every", "smooth", "start", "end", "stride", "fps", "time_limit", "resume", "show"),
    "trail",
)
RESULTS_FILE = "results.json"


class Boxes(str, enum.Enum):
    """Where boxes come from."""

    DETECT = "detect"
    FULL = "full"


def find_pictures(sources: list[str]) -> list[Path]:
    """The pictures that files, folders and globs mean, in order, each once.

    Raises:
        InputError: a source that does not exist, or a folder or glob without pictures.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source:
            raise InputError("a source is empty text; expected a picture, a folder or a glob")
        path = Path(source)
        if path.is_dir():
            files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
            if not files:
                raise InputError(
                    f"{source}: no pictures in this folder; expected files ending in "
                    f"{', '.join(IMAGE_SUFFIXES)}"
                )
        elif path.exists():
            files = [path]
        elif glob.has_magic(source):
            files = [Path(p) for p in sorted(glob.glob(source, recursive=True)) if Path(p).is_file()]
            if not files:
                raise InputError(f"{source}: no file fits this pattern")
        else:
            raise InputError(f"{source}: no such file or folder")
        found.update(dict.fromkeys(files))
    return list(found)


def _targets(pictures: list[Path], out: Path) -> list[Path]:
    """Where each drawn picture goes; the folders below the pictures' common folder are kept.

    A link is drawn under its own name; what has no suffix of a picture becomes a PNG.
    """
    places = [Path(os.path.abspath(p)) for p in pictures]
    root = Path(os.path.commonpath([p.parent for p in places]))
    names = [p.name if p.suffix.lower() in IMAGE_SUFFIXES else f"{p.name}.png" for p in places]
    targets = [out / p.relative_to(root).with_name(n) for p, n in zip(places, names, strict=True)]
    for picture, target in zip(pictures, targets, strict=True):
        if target.resolve() == picture.resolve():
            raise OutputError(
                f"{out}: the drawn pictures would overwrite the sources ({picture}); choose another --out"
            )
    return targets


def _prepare(out: Path) -> None:
    """Fail before the work, not after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder for the results ({error.strerror})") from None
    if not os.access(out, os.W_OK):
        raise OutputError(f"{out}: no permission to write there")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _prepare_videos(videos: list[VideoInput]) -> None:
    """Two videos of one name would write to the same files."""
    names = [name_of(video) for video in videos]
    double = [name for name in names if names.count(name) > 1]
    if double:
        raise InputError(f"two sources are called '{double[0]}'; give them to two calls with another --out")


def _tracking(threshold: float | None) -> Tracking:
    """A least score for newcomers; who is followed already may score less."""
    usual = Tracking()
    if threshold is None:
        return usual
    return Tracking(
        sure_score=max(usual.sure_score, threshold),
        new_score=threshold,
        keep_score=min(usual.keep_score, threshold),
    )


def _refuse_video_options(context: typer.Context) -> None:
    """Nothing that was asked for is left undone in silence."""
    given = [
        "--" + name.replace("_", "-")
        for name in _FOR_VIDEOS
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise InputError(
            f"{', '.join(given)}: for videos, and these are pictures; add --track where they are the "
            "frames of one video"
        )


def predict(
    context: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(
            help="Pictures or videos, folders, globs; a camera's number, rtsp:// or http:// addresses, -."
        ),
    ],
    pose: Pose = DEFAULT_POSE,
    detector: DetectorOption = None,
    detector_size: DetectorSize = None,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("out"),
    boxes: Annotated[
        Boxes, typer.Option(help="detect: ask the detector; full: each picture is one person.")
    ] = Boxes.DETECT,
    device: DeviceOption = "cpu",
    threads: Threads = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored crop; twice the time.")
    ] = False,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    detection_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Least score of a person box; default: 0.3, in videos 0.45 for somebody new.",
        ),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Keypoints below it are not drawn.")
    ] = 0.3,
    save: Annotated[
        str,
        typer.Option(help="Videos: any of video,jsonl,csv,coco,openpose,parquet.", rich_help_panel=_VIDEOS),
    ] = DEFAULT_SAVE,
    detect_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Frames from one detection to the next; default: {DETECT_EVERY}, or the profile's.",
            rich_help_panel=_VIDEOS,
        ),
    ] = None,
    smooth: Annotated[
        bool, typer.Option(help="One-Euro filter on the keypoints.", rich_help_panel=_VIDEOS)
    ] = True,
    start: Annotated[
        float, typer.Option(min=0, help="Seconds to begin at.", rich_help_panel=_VIDEOS)
    ] = 0.0,
    end: Annotated[float | None, typer.Option(help="Seconds to end at.", rich_help_panel=_VIDEOS)] = None,
    stride: Annotated[int, typer.Option(min=1, help="Every so many frames.", rich_help_panel=_VIDEOS)] = 1,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Count time at this rate instead of reading time stamps.", rich_help_panel=_VIDEOS
        ),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for an address.", rich_help_panel=_VIDEOS)
    ] = 10.0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace files that exist; pictures' results always are.",
            rich_help_panel=_VIDEOS,
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where an earlier run stopped.", rich_help_panel=_VIDEOS),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show frames in a window as they come.", rich_help_panel=_VIDEOS)
    ] = False,
    track: Annotated[
        bool,
        typer.Option("--track", help="Pictures are the frames of one video.", rich_help_panel=_VIDEOS),
    ] = False,
    color_by: Annotated[
        str, typer.Option(help="Colours by side or by id.", rich_help_panel=_DRAWING)
    ] = "side",
    trail: Annotated[
        float, typer.Option(min=0, help="Seconds of people's ways to draw.", rich_help_panel=_DRAWING)
    ] = 0.0,
    hide_faces: Annotated[
        bool, typer.Option("--hide-faces", help="Faces become coarse squares.", rich_help_panel=_DRAWING)
    ] = False,
) -> None:
    """Find the keypoints of the people in pictures and videos."""

    def make_painter() -> Painter:
        return Painter(min_confidence, cast(ColorBy, color_by), trail=trail, hide_faces=hide_faces)

    painter = make_painter()
    size = None if detector_size is None else parse_size(detector_size, square=True)
    videos, others = split_sources(source, track)
    if videos and others:
        raise InputError("pictures and videos together; give them to two calls")
    if videos:
        if boxes is Boxes.FULL:
            raise InputError("--boxes full is for pictures; a video's people are found by a detector")
        limit_opencv(threads)
        options = VideoOptions(
            out,
            parse_save(save),
            detect_every,
            smooth,
            start,
            math.inf if end is None else end,
            stride,
            fps,
            time_limit,
            overwrite,
            resume,
            show,
            threads,
            make_painter,
            _tracking(detection_threshold),
        )
        _prepare_videos(videos)
        check_places(videos, options)
        with Pipeline(
            pose,
            DEFAULT_DETECTOR if detector is None else detector,
            device,
            threads,
            precision,
            flip_test=flip_test,
            engine=engine,
            detector_size=size,
        ) as pipeline:
            for video in videos:
                predict_video(video, pipeline, options, Console(stderr=True))
        return
    _refuse_video_options(context)
    if boxes is Boxes.FULL and detector is not None:
        raise InputError("--boxes full needs no detector; leave out --detector or --boxes full")
    if boxes is Boxes.DETECT and detector is None:
        detector = DEFAULT_DETECTOR
    limit_opencv(threads)
    pictures = find_pictures(source)
    targets = _targets(pictures, out)
    console = Console(stderr=True)
    results: list[dict[str, Any]] = []
    drawn: list[Path] = []
    errors: list[Exception] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with (
        Pipeline(
            pose,
            detector,
            device,
            threads,
            precision,
            DEFAULT_DETECTION_THRESHOLD if detection_threshold is None else detection_threshold,
            flip_test=flip_test,
            engine=engine,
            detector_size=size,
        ) as pipeline,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        _prepare(out)
        task = progress.add_task("predict", total=len(pictures))
        with asked_to_stop() as stop:
            for picture, target in zip(pictures, targets, strict=True):
                if stop():
                    break
                try:
                    image = read_image(picture)
                    result = pipeline(image, "full" if boxes is Boxes.FULL else None)
                    results.append({"file": str(picture), **result.to_dict()})
                    write_image(target, painter(image, result))
                    drawn.append(target)
                except (ImageError, OutputError) as error:
                    errors.append(error)
                progress.advance(task)
    write_bytes(out / RESULTS_FILE, json.dumps(results, indent=1).encode())
    persons = sum(len(r["persons"]) for r in results)
    typer.echo(f"{_counted(len(results), 'picture')}, {_counted(persons, 'person')}: {out / RESULTS_FILE}")
    if len(drawn) == 1:
        typer.echo(f"drawn: {drawn[0]}")
    if stop.asked and len(results) + len(errors) < len(pictures):
        typer.echo(f"stopped; {len(pictures) - len(results) - len(errors)} pictures were not looked at")
    if errors:
        print_error(InputError(f"{len(errors)} of {len(pictures)} pictures could not be used:"))
        for each in errors:
            print_error(each)
    if stop.asked or errors:
        raise typer.Exit(130 if stop.asked else 1)
