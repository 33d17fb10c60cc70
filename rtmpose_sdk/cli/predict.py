"""`rtmpose predict`: what was asked for, and is it for pictures or for videos?"""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from rtmpose_sdk.cli.options import (
    DetectorSize,
    DeviceOption,
    EngineOption,
    PrecisionOption,
    Threads,
    detector_option,
    limit_opencv,
    parse_size,
    refuse_given,
)
from rtmpose_sdk.cli.predict_pictures import find_pictures, place_pictures, predict_pictures
from rtmpose_sdk.cli.predict_sources import VideoInput, left_out, name_of, split_sources
from rtmpose_sdk.cli.predict_video import (
    DEFAULT_SAVE,
    VideoOptions,
    check_places,
    parse_save,
    predict_video,
)
from rtmpose_sdk.cli.run import print_error
from rtmpose_sdk.drawing import ColorBy, Painter
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.stream import DETECT_EVERY
from rtmpose_sdk.zoo import DEFAULT_POSE, UNSAID_DETECTOR

_VIDEOS, _DRAWING = "Videos", "Drawing"
_FOR_VIDEOS = (
    *("save", "detect_every", "smooth", "start", "end", "stride", "fps", "time_limit", "resume", "show"),
    "trail",
)


class Boxes(str, enum.Enum):
    """Where boxes come from."""

    DETECT = "detect"
    FULL = "full"


def _prepare_videos(videos: list[VideoInput]) -> None:
    """Two videos of one name would write to the same files."""
    names = [name_of(video) for video in videos]
    double = [name for name in names if names.count(name) > 1]
    if double:
        raise InputError(f"two sources are called '{double[0]}'; give them to two calls with another --out")


def _each_video(videos: list[VideoInput], pipeline: Pipeline, options: VideoOptions) -> None:
    """One that cannot be used does not keep the others from their turn."""
    errors: list[Exception] = []
    for video in videos:
        try:
            predict_video(video, pipeline, options, Console(stderr=True))
        except InputError as error:
            if len(videos) == 1:
                raise
            print_error(error)
            errors.append(error)
    if errors:
        print_error(InputError(f"{len(errors)} of {len(videos)} videos could not be used, see above"))
        raise typer.Exit(1)


def predict(
    context: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(
            help="Pictures or videos, folders, globs; a camera's number, rtsp:// or http:// addresses; "
            "- is standard input."
        ),
    ],
    pose: Annotated[
        str,
        typer.Option(
            help="Pose model: a name or a preset (see `rtmpose models`), an artifact, a checkpoint, an SDK "
            "folder; auto: what `rtmpose tune` chose here, with its detector."
        ),
    ] = DEFAULT_POSE,
    detector: Annotated[str | None, detector_option("auto; a tuned profile's with --pose auto")] = None,
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
        float,
        typer.Option(min=0, help="Seconds from the first frame to begin at.", rich_help_panel=_VIDEOS),
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
        float,
        typer.Option(
            min=0.1,
            help="Seconds to wait for an address to answer, or for a camera's picture.",
            rich_help_panel=_VIDEOS,
        ),
    ] = 10.0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace files that exist; the results.json of pictures always is.",
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
        typer.Option("--track", help="Pictures are one video's frames, in order.", rich_help_panel=_VIDEOS),
    ] = False,
    color_by: Annotated[
        str, typer.Option(help="Colours by side (left, right) or by id.", rich_help_panel=_DRAWING)
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
        find_pictures(others)  # one that is not there is said to be that
        one = videos[0] if isinstance(videos[0], str) else videos[0][0]
        raise InputError(
            f"pictures and videos together ({others[0]} is no video, {one} is one); give them to two calls"
        )
    if beside := left_out(source, track):
        typer.echo(beside, err=True)
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
        )
        _prepare_videos(videos)
        check_places(videos, options)
        with Pipeline(
            pose,
            UNSAID_DETECTOR if detector is None else detector,
            device,
            threads=threads,
            precision=precision,
            engine=engine,
            detection_threshold=detection_threshold,
            detector_size=size,
            flip_test=flip_test,
        ) as pipeline:
            _each_video(videos, pipeline, options)
        return
    pictures = find_pictures(source)
    why = "for videos, and these are pictures; add --track where they are the frames of one video"
    refuse_given(context, _FOR_VIDEOS, why)
    if boxes is Boxes.FULL:
        refuse_given(
            context, ["detection_threshold"], "nobody is detected with --boxes full; leave out one"
        )
        if detector is not None:
            raise InputError("--boxes full needs no detector; leave out --detector or --boxes full")
    if boxes is Boxes.DETECT and detector is None:
        detector = UNSAID_DETECTOR
    limit_opencv(threads)
    targets = place_pictures(pictures, out, overwrite)
    with Pipeline(
        pose,
        detector,
        device,
        threads=threads,
        precision=precision,
        engine=engine,
        detection_threshold=detection_threshold,
        detector_size=size,
        flip_test=flip_test,
    ) as pipeline:
        predict_pictures(pictures, targets, pipeline, out, painter, boxes is Boxes.FULL)
