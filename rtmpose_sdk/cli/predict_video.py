"""`rtmpose predict` on videos, cameras and streams: results and drawn videos, with a live progress bar."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rtmpose_sdk.cli.predict_resume import After, Earlier
from rtmpose_sdk.cli.predict_sources import VideoInput, name_of
from rtmpose_sdk.cli.predict_stages import finish
from rtmpose_sdk.cli.stopping import asked_to_stop
from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.follow import LIVE_DEPTH, follow
from rtmpose_sdk.parquet_writer import ParquetWriter
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.smoothing import DEFAULT_SMOOTHING
from rtmpose_sdk.sources import Source, open_source
from rtmpose_sdk.stages import DEPTH
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.video_writer import VideoWriter
from rtmpose_sdk.writers import CocoWriter, CsvWriter, JsonLinesWriter, OpenPoseWriter, Writer

if TYPE_CHECKING:
    from rtmpose_sdk.cli.window import Window


class Save(str, enum.Enum):
    """What a video's results are written as."""

    VIDEO = "video"
    JSONL = "jsonl"
    CSV = "csv"
    COCO = "coco"
    OPENPOSE = "openpose"
    PARQUET = "parquet"


DEFAULT_SAVE = "video,jsonl"
PARTS = ("decode", "detect", "pose", "own", "draw", "write")
"""What the progress bar tells of a frame's time, where there is room."""
NAME, BAR, WIDE = 20, 20, 150
"""Columns of the source's name, of the bar, and of a terminal with room for the parts."""


@dataclass(frozen=True)
class VideoOptions:
    """What the command line says about a video, see `rtmpose predict --help`."""

    out: Path
    save: tuple[Save, ...]
    detect_every: int | None
    smooth: bool
    start: float
    end: float
    stride: int
    fps: float | None
    time_limit: float
    overwrite: bool
    resume: bool
    show: bool
    threads: int | None
    make_painter: Callable[[], Painter]


def parse_save(text: str) -> tuple[Save, ...]:
    """Read "video,jsonl".

    Raises:
        InputError: a kind that is not known, or none.
    """
    kinds = [part.strip() for part in text.split(",") if part.strip()]
    known = [kind.value for kind in Save]
    unknown = [kind for kind in kinds if kind not in known]
    if unknown or not kinds:
        raise InputError(f"--save {text}: expected one or more of {', '.join(known)}, with commas")
    return tuple(dict.fromkeys(Save(kind) for kind in kinds))


def predict_video(source: VideoInput, pipeline: Pipeline, options: VideoOptions, console: Console) -> None:
    """One video, from its source to its files.

    Raises:
        SourceError, OutputError: see there; what was done until then is kept.
    """
    name = name_of(source)
    lines = options.out / f"{name}.jsonl"
    keypoint_set = pipeline.predictor.keypoint_set
    earlier = Earlier(lines, keypoint_set) if options.resume and lines.exists() else None
    smoothing = DEFAULT_SMOOTHING if options.smooth else None
    stream = pipeline.stream(options.detect_every, smoothing=smoothing)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(
            open_source(
                source,
                options.fps,
                options.start,
                options.end,
                options.stride,
                options.time_limit,
                decoder_threads=options.threads,
            )
        )
        if earlier is not None:
            if opened.live:
                raise InputError(f"{opened.name}: a live source cannot be resumed; leave out --resume")
            earlier.restore(stream)
        window = None
        if options.show:
            from rtmpose_sdk.cli.window import Window

            window = stack.enter_context(Window(opened.name))
        writers = [
            stack.enter_context(writer)
            for writer in _open_writers(name, opened, pipeline, options, earlier)
        ]
        if earlier is not None:
            earlier.replay(writers)
        done = _run(opened, stream, writers, window, options, console, earlier)
    files = [str(writer.path) for writer in writers if writer.path.exists()]  # no video of no frame
    frames = f"{done.frames} {'frame' if done.frames == 1 else 'frames'}"
    people = f"{done.highest} {'person' if done.highest == 1 else 'people'}"
    typer.echo(f"{name}: {frames}, {people}: {', '.join(files)}")
    if done.interrupted:
        where = f"stopped at frame {done.last}" if done.last >= 0 else "stopped before the first frame"
        resumable = not opened.live and Save.JSONL in options.save and done.last >= 0
        typer.echo(where + ("; --resume goes on from there" if resumable else ""))
        raise typer.Exit(130)


@dataclass
class _Done:
    """What became of a run."""

    frames: int = 0
    last: int = -1
    highest: int = 0
    interrupted: bool = False


def _run(
    source: Source,
    stream: PoseStream,
    writers: list[Writer],
    window: Window | None,
    options: VideoOptions,
    console: Console,
    earlier: Earlier | None,
) -> _Done:
    """Frame after frame until the source ends or somebody stops it."""
    from time import perf_counter

    done = _Done(highest=earlier.highest if earlier else 0, last=earlier.last if earlier else -1)
    rest = After(source, earlier) if earlier else source
    columns = (
        TextColumn("{task.description}"),
        BarColumn(BAR),
        TaskProgressColumn(show_speed=False),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    painter = options.make_painter() if window is not None or Save.VIDEO in options.save else None
    depth = LIVE_DEPTH if source.live else DEPTH
    clock, spent = perf_counter(), dict.fromkeys(PARTS, 0.0)
    with (
        asked_to_stop() as stop,
        contextlib.closing(
            finish(follow(rest, stream, stop=stop), painter, writers, depth, stop)
        ) as finished,
        # Into a file it would write an empty line.
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(Path(source.name).name[-NAME:], total=rest.length, state="")
        for frame, found, picture in finished:
            done.frames += 1
            done.last = frame.index
            ids = found.poses.track_ids
            if ids is not None and len(ids):
                done.highest = max(done.highest, int(ids.max()))
            for key in spent:
                spent[key] += 0.1 * (1000 * found.seconds.get(key, 0.0) - spent[key])
            rate = done.frames / max(perf_counter() - clock, 1e-6)
            count = len(found.poses)
            state = f"{rate:.1f} fps, {count} {'person' if count == 1 else 'people'}"
            if console.width >= WIDE:
                state += "; ms: " + ", ".join(f"{key} {value:.1f}" for key, value in spent.items())
            progress.update(task, advance=1, state=state)
            if window is not None and picture is not None and not window.show(picture):
                stop.ended = True  # what is under way is written still
    done.interrupted = stop.asked
    return done


_SUFFIXES = {
    Save.VIDEO: ".mp4",
    Save.JSONL: ".jsonl",
    Save.CSV: ".csv",
    Save.COCO: ".coco.json",
    Save.OPENPOSE: "_openpose",
    Save.PARQUET: ".parquet",
}


def check_places(sources: list[VideoInput], options: VideoOptions) -> None:
    """Fail before the work, not after it.

    Raises:
        InputError: options that do not go together.
        OutputError: results would replace a source, or what exists.
    """
    if options.resume and options.overwrite:
        raise InputError("--resume goes on, --overwrite begins anew: give one of them")
    if options.resume and Save.JSONL not in options.save:
        raise InputError("--resume reads where it stopped from the JSONL file: add jsonl to --save")
    if options.out.exists() and not options.out.is_dir():
        raise OutputError(f"{options.out}: cannot be made a folder for the results (a file is there)")
    files = [Path(s) for s in sources if isinstance(s, str) and Path(s).is_file()]
    for name in map(name_of, sources):
        paths = [options.out / (name + _SUFFIXES[kind]) for kind in options.save]
        for path in filter(Path.exists, paths):
            if any(path.samefile(file) for file in files):
                raise OutputError(
                    f"{path}: is a source, which its results would replace; choose another --out"
                )
        lines = options.out / (name + _SUFFIXES[Save.JSONL])
        if not (options.overwrite or (options.resume and lines.exists())):
            _refuse_existing(paths, lines if options.resume else None)


def _refuse_existing(paths: list[Path], lines: Path | None) -> None:
    """`lines` is what --resume would go on from."""
    for path in filter(Path.exists, paths):
        if lines is not None:
            raise OutputError(
                f"{path}: exists already, but {lines}, from which --resume would go on, does not; "
                "--overwrite begins anew and replaces it, --out takes another folder"
            )
        raise OutputError(
            f"{path}: exists already; --overwrite replaces it, --resume goes on where a run stopped, "
            "--out takes another folder"
        )


def _open_writers(
    name: str, source: Source, pipeline: Pipeline, options: VideoOptions, earlier: Earlier | None
) -> Iterator[Writer]:
    """One for each kind, opened when it is asked for."""
    points = pipeline.predictor.keypoint_set
    again, append = options.overwrite or options.resume, earlier is not None
    opens: dict[Save, Callable[[Path], Writer]] = {
        Save.VIDEO: lambda path: VideoWriter(
            _next_part(path) if append else path, source.fps, again, options.threads
        ),
        Save.JSONL: lambda path: JsonLinesWriter(path, again, append),
        Save.CSV: lambda path: CsvWriter(path, points, again),
        Save.COCO: lambda path: CocoWriter(path, again),
        Save.OPENPOSE: lambda path: OpenPoseWriter(path, name, again, append),
        Save.PARQUET: lambda path: ParquetWriter(path, points, again),
    }
    for kind in options.save:
        yield opens[kind](options.out / (name + _SUFFIXES[kind]))


def _next_part(video: Path) -> Path:
    """A video cannot be written on: each run has a part of its own, NAME.2.mp4 after NAME.mp4."""
    part, number = video, 2
    while part.exists():
        part = video.with_name(f"{video.stem}.{number}{video.suffix}")
        number += 1
    return part
