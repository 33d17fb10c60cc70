"""`rtmpose predict` on videos, cameras and streams: results and drawn videos, with a live progress bar."""

from __future__ import annotations

import contextlib
import enum
import math
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rtmpose_sdk.drawing import Painter
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.follow import Step, follow
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.images import IMAGE_SUFFIXES
from rtmpose_sdk.pipeline import DEFAULT_SMOOTHING, Pipeline
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sources import URL_SCHEMES, Frame, Source, open_source
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.tracking import Tracking
from rtmpose_sdk.video_writer import VideoWriter
from rtmpose_sdk.writers import (
    CocoWriter,
    LinesWriter,
    OpenPoseWriter,
    ParquetWriter,
    TableWriter,
    Writer,
    read_lines,
)


class Save(str, enum.Enum):
    """What a video's results are written as."""

    VIDEO = "video"
    JSONL = "jsonl"
    CSV = "csv"
    COCO = "coco"
    OPENPOSE = "openpose"
    PARQUET = "parquet"


DEFAULT_SAVE = "video,jsonl"


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
    painter: Painter
    tracking: Tracking


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


def is_video(source: str) -> bool:
    """True where a source is no picture, folder or pattern: a video file, a camera, an address, "-"."""
    if source == "-" or source.isdigit() or source.startswith(URL_SCHEMES):
        return True
    path = Path(source)
    return path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES


def name_of(source: str) -> str:
    """What a source's files are called: a video's own name, "camera0", "stdin", an address's last words."""
    if source == "-":
        return "stdin"
    if source.isdigit():
        return f"camera{source}"
    if source.startswith(URL_SCHEMES):
        return re.sub(r"[^\w.-]+", "_", source.partition("://")[2]).strip("_.") or "stream"
    return Path(source).stem or "frames"


def predict_video(source: str, pipeline: Pipeline, options: VideoOptions, console: Console) -> None:
    """One video, from its source to its files.

    Raises:
        SourceError, OutputError: see there; what was done until then is kept.
    """
    name = name_of(source)
    lines = options.out / f"{name}.jsonl"
    _check_places(name, options)
    earlier = _Earlier(lines) if options.resume and lines.exists() else None
    smoothing = DEFAULT_SMOOTHING if options.smooth else None
    stream = pipeline.stream(options.detect_every, options.tracking, smoothing)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(
            open_source(source, options.fps, options.start, options.end, options.stride, options.time_limit)
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
    files = [_shown_path(writer) for writer in writers]
    ids = done.highest
    typer.echo(
        f"{name}: {done.frames} frames, {ids} {'person' if ids == 1 else 'people'}: {', '.join(files)}"
    )
    if done.interrupted:
        typer.echo(f"stopped at frame {done.last}; --resume goes on from there")
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
    window: object,
    options: VideoOptions,
    console: Console,
    earlier: _Earlier | None,
) -> _Done:
    """Frame after frame until the source ends or somebody stops it."""
    from time import perf_counter

    done = _Done(highest=earlier.highest if earlier else 0, last=earlier.last if earlier else -1)
    after = earlier.last if earlier else -1
    steps = follow(_After(source, after) if earlier else source, stream)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    clock, spent = perf_counter(), {"detect": 0.0, "pose": 0.0, "own": 0.0}
    with (
        _asked_to_stop() as stop,
        contextlib.closing(steps),
        Progress(*columns, console=console, transient=True) as progress,
    ):
        total = source.length
        task = progress.add_task(source.name[-40:], total=total, state="")
        for frame, found in steps:
            step = Step(frame, found)
            for writer in writers:
                writer.write(step.frame, step.found)
            done.frames += 1
            done.last = frame.index
            ids = found.poses.track_ids
            if ids is not None and len(ids):
                done.highest = max(done.highest, int(ids.max()))
            for key in spent:
                spent[key] += 0.1 * (1000 * found.seconds.get(key, 0.0) - spent[key])
            rate = done.frames / max(perf_counter() - clock, 1e-6)
            parts = ", ".join(f"{key} {value:.1f}" for key, value in spent.items())
            progress.update(
                task, advance=1, state=f"{rate:.1f} fps, {len(found.poses)} people; ms: {parts}"
            )
            if window is not None and not window.show(options.painter, frame, found):  # type: ignore[attr-defined]
                break
            if stop:
                done.interrupted = True
                break
    return done


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM fill a list, so that the frame in work is written; a second one ends at once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _After(Source):
    """A source without the frames up to number `last`: they were done before."""

    def __init__(self, source: Source, last: int) -> None:
        super().__init__(source.name)
        self._source, self._last = source, last
        self.fps, self.live = source.fps, source.live
        self.length = None if source.length is None else max(source.length - last - 1, 0)

    def frames(self) -> Iterator[Frame]:
        """The frames after `last`."""
        return (frame for frame in self._source if frame.index > self._last)


class _Earlier:
    """What an earlier run left in its JSONL file; a last line that is not whole is cut off."""

    def __init__(self, lines: Path) -> None:
        self._lines = lines
        broken: list[int] = []
        self.count, self.last, self.time, self.highest = 0, -1, -math.inf, 0
        self._poses: PoseResult | None = None
        row = None
        for row in read_lines(lines, broken.append):
            self.count += 1
            ids = [person.get("track_id", 0) for person in row["persons"]]
            self.highest = max([self.highest, *ids])
        if broken:
            with lines.open("r+b") as file:
                file.truncate(broken[0])
        self._row = row
        if row is not None:
            self.last, self.time = int(row["frame"]), float(row["time"])

    def restore(self, stream: PoseStream) -> None:
        """Put a stream in the state it had."""
        if self._row is None:
            return
        poses = PoseResult.from_dict(self._row, stream.keypoint_set)
        stream.restore(self.count, self.time, poses, self.highest)

    def replay(self, writers: list[Writer]) -> None:
        """Tell the tables that are written anew what is known already."""
        tables = [w for w in writers if isinstance(w, TableWriter | CocoWriter | ParquetWriter)]
        if not tables:
            return
        import numpy as np

        nothing = np.empty((0, 0, 3), np.uint8)
        for row in read_lines(self._lines):
            frame = Frame(nothing, int(row["frame"]), float(row["time"]))
            found = FrameResult(
                PoseResult.from_dict(row), frame.time, frame.index, bool(row["detected"]), False
            )
            for writer in tables:
                writer.write(frame, found)


_SUFFIXES = {
    Save.VIDEO: ".mp4",
    Save.JSONL: ".jsonl",
    Save.CSV: ".csv",
    Save.COCO: ".coco.json",
    Save.OPENPOSE: "_openpose",
    Save.PARQUET: ".parquet",
}


def _check_places(name: str, options: VideoOptions) -> None:
    """Fail before the work, not after it."""
    if options.out.exists() and not options.out.is_dir():
        raise OutputError(f"{options.out}: cannot be made a folder for the results (a file is there)")
    if options.resume and Save.JSONL not in options.save:
        raise InputError("--resume reads where it stopped from the JSONL file: add jsonl to --save")
    if options.overwrite or options.resume:
        return
    for kind in options.save:
        path = options.out / (name + _SUFFIXES[kind])
        if path.exists():
            raise OutputError(
                f"{path}: exists already; --overwrite replaces it, --resume goes on where a run stopped, "
                "--out takes another folder"
            )


def _open_writers(
    name: str, source: Source, pipeline: Pipeline, options: VideoOptions, earlier: _Earlier | None
) -> Iterator[Writer]:
    points = pipeline.predictor.keypoint_set
    again = options.overwrite or options.resume
    for kind in options.save:
        path = options.out / (name + _SUFFIXES[kind])
        if kind is Save.JSONL:
            yield LinesWriter(path, again, append=earlier is not None)
        elif kind is Save.CSV:
            yield TableWriter(path, points, again)
        elif kind is Save.COCO:
            yield CocoWriter(path, again)
        elif kind is Save.OPENPOSE:
            yield OpenPoseWriter(path, name, again)
        elif kind is Save.PARQUET:
            yield ParquetWriter(path, points, again)
        else:
            if earlier is not None:  # a video cannot be written on: each run has a part of its own
                number = 2
                while path.exists():
                    path = options.out / f"{name}.{number}.mp4"
                    number += 1

            def draw(image: object, found: FrameResult) -> object:
                return options.painter(image, found.poses, found.time)  # type: ignore[arg-type]

            yield VideoWriter(path, source.fps, draw, again, options.threads)  # type: ignore[arg-type]


def _shown_path(writer: Writer) -> str:
    return str(writer.path)
