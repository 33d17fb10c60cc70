"""How fast is a video, what does skipping cost, what does memory do? Against rtmlib, if it is there.

Run it with `python -m rtmpose_sdk.benchmarks.video --help`. Comparisons are interleaved, medians of rounds.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from rtmpose_sdk.boxes import iou
from rtmpose_sdk.cli.options import DetectorSize, limit_opencv, parse_size
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.runtimes import Runtime
from rtmpose_sdk.sources import Frame, open_source
from rtmpose_sdk.zoo import DEFAULT_POSE

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SETTLED = 500
"""Frame from which on memory should not grow."""


class What(str, enum.Enum):
    """What is measured."""

    SKIP = "skip"
    SHARE = "share"
    RTMLIB = "rtmlib"
    MEMORY = "memory"
    DRAW = "draw"


@app.command()
def video(
    clip: Annotated[Path, typer.Argument(help="A video.")],
    what: Annotated[
        list[What],
        typer.Option(
            help="skip: K against 1; share: own work; rtmlib: against its PoseTracker; memory: a long run; "
            "draw: ms a person."
        ),
    ],
    detector: Annotated[str, typer.Option(help="Detector.")],
    pose: Annotated[str, typer.Option(help="Pose model; for rtmlib exported with --input tensor.")] = (
        DEFAULT_POSE
    ),
    detector_size: DetectorSize = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engines, of both programs.")] = 1,
    detect_every: Annotated[int, typer.Option(min=1, help="K.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of a comparison.")] = 3,
    frames: Annotated[int, typer.Option(min=SETTLED + 1, help="Frames of the long run.")] = 10_000,
) -> None:
    """Measure videos."""
    limit_opencv(threads)
    size = None if detector_size is None else parse_size(detector_size, square=True)
    if size is not None and What.RTMLIB in what:
        raise InputError("--detector-size: rtmlib takes the detector's own size; measure without it")
    for each in what:
        if each is What.RTMLIB:
            _against_rtmlib(clip, detector, pose, threads, detect_every, rounds)
            continue
        with Pipeline(pose, detector, detector_size=size, threads=threads) as pipeline:
            if each is What.SKIP:
                _skipping(pipeline, clip, detect_every, rounds)
            elif each is What.SHARE:
                _share(pipeline, clip, detect_every)
            elif each is What.DRAW:
                _drawing(pipeline, clip)
            else:
                _memory(pipeline, clip, frames)


def _follow(pipeline: Pipeline, clip: Path, every: int) -> tuple[float, list[PoseResult]]:
    """Frames per second with decoding, and the results."""
    start = time.perf_counter()
    results = [found.poses for _, found in pipeline.follow(clip, every)]
    return len(results) / (time.perf_counter() - start), results


def _skipping(pipeline: Pipeline, clip: Path, every: int, rounds: int) -> None:
    """Frame rate, keypoints and boxes of K against those of a detection in every frame."""
    rates: dict[int, list[float]] = {1: [], every: []}
    results: dict[int, list[PoseResult]] = {}
    for _ in range(rounds):
        for k in rates:
            rate, results[k] = _follow(pipeline, clip, k)
            rates[k].append(rate)
    distances, overlaps = [], []
    for one, skipped in zip(results[1], results[every], strict=True):
        assert one.track_ids is not None
        assert skipped.track_ids is not None
        for i, j in np.argwhere(one.track_ids[:, None] == skipped.track_ids[None]).tolist():
            box = one.boxes[i]
            size = float(np.sqrt((box[2:] - box[:2]).prod()))
            sure = np.minimum(one.confidences[i], skipped.confidences[j]) >= 0.3
            apart = np.hypot(*(one.keypoints[i] - skipped.keypoints[j]).T) / size
            distances.append(apart[sure])
            overlaps.append(iou(one.boxes[i : i + 1], skipped.boxes[j : j + 1])[0, 0])
    people = [sorted({int(n) for r in results[k] for n in r.track_ids}) for k in (1, every)]  # type: ignore[union-attr]
    ratio = np.median(np.array(rates[every]) / np.array(rates[1]))
    table = Table(f"{clip.name}", "K = 1", f"K = {every}")
    table.add_row("frames / s", *(f"{np.median(rates[k]):.1f}" for k in rates))
    table.add_row("ids", *(", ".join(map(str, ids)) for ids in people))
    table.add_row("rate, ratio", "", f"{ratio:.2f}")
    table.add_row("keypoints apart, median / body size", "", f"{np.median(np.concatenate(distances)):.2%}")
    table.add_row("boxes, mean IoU of both", "", f"{np.mean(overlaps):.3f}")
    Console().print(table)


def _share(pipeline: Pipeline, clip: Path, every: int) -> None:
    """What of a frame's time is not the two networks."""
    networks = {"s": 0.0}

    def timed(runtime: Runtime) -> None:
        inner = runtime.run

        def call(array: Any) -> Any:
            start = time.perf_counter()
            outputs = inner(array)
            networks["s"] += time.perf_counter() - start
            return outputs

        runtime.run = call  # type: ignore[method-assign]

    assert pipeline.detector is not None
    timed(pipeline.predictor.runtime)
    timed(pipeline.detector.runtime)
    stream, total, tracking, decode, count = pipeline.stream(every), 0.0, 0.0, 0.0, 0
    before = time.perf_counter()
    with open_source(clip, decoder_threads=1) as source:
        for frame in source:
            start = time.perf_counter()
            decode += start - before
            found = stream(frame.image, frame.time)
            before = time.perf_counter()
            total += before - start
            tracking += found.seconds["own"]
            count += 1
    own = total - networks["s"]
    table = Table(f"{clip.name}, K = {every}", "ms / frame", "share")
    for name, seconds in (
        ("a frame, decoded", total),
        ("the two networks", networks["s"]),
        ("own work", own),
        ("  of it tracking and smoothing", tracking),
        ("decoding, in a thread of its own", decode),
    ):
        table.add_row(name, f"{1000 * seconds / count:.2f}", f"{seconds / total:.1%}")
    Console().print(table)


def _against_rtmlib(clip: Path, detector: str, pose: str, threads: int, every: int, rounds: int) -> None:
    """Frames per second of both programs, the same two ONNX files, threads and K, decoding included."""
    with Pipeline(pose, detector, threads=threads) as pipeline:
        assert pipeline.detector is not None
        runtimes = (pipeline.detector.runtime, pipeline.predictor.runtime)
        sizes = (pipeline.detector.card.input_size, pipeline.predictor.card.input_size)
        if pipeline.predictor.card.takes_image:
            raise InputError(f"{pose}: rtmlib needs a tensor; export it with rtmpose-export --input tensor")
        files = [str(r.path) for r in runtimes]
        make = _rtmlib_tracker(files, sizes, threads, every)
        programs: dict[str, Callable[[], tuple[float, float]]] = {
            "rtmlib": lambda: _follow_rtmlib(make(), clip),
            "rtmpose-sdk": lambda: _rate_and_people(_follow(pipeline, clip, every)),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(rounds):
            for name, program in programs.items():
                found[name].append(program())
    table = Table(f"{clip.name}, K = {every}, {threads} threads", "frames / s", "people / frame")
    for name, rows in found.items():
        rate, people = np.median(rows, axis=0)
        table.add_row(name, f"{rate:.1f}", f"{people:.2f}")
    ours, theirs = (np.array(found[name])[:, 0] for name in ("rtmpose-sdk", "rtmlib"))
    table.add_row("ratio, median of rounds", f"{np.median(ours / theirs):.2f}", "")
    Console().print(table)


def _rate_and_people(run: tuple[float, list[PoseResult]]) -> tuple[float, float]:
    return run[0], float(np.mean([len(poses) for poses in run[1]]))


def _rtmlib_tracker(
    files: list[str], sizes: tuple[tuple[int, int], tuple[int, int]], threads: int, every: int
) -> Callable[[], Any]:
    try:
        import onnxruntime
        import rtmlib
    except ImportError as error:
        raise InputError(
            f"the comparison needs rtmlib and onnxruntime ({error}): pip install --no-deps rtmlib tqdm"
        ) from None
    session = onnxruntime.InferenceSession

    def limited(*arguments: Any, **named: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return session(*arguments, **{**named, "sess_options": options})

    class Solution:
        def __init__(self, **_: object) -> None:
            onnxruntime.InferenceSession = limited
            try:
                self.det_model = rtmlib.RTMDet(files[0], sizes[0], backend="onnxruntime")
                self.pose_model = rtmlib.RTMPose(files[1], sizes[1], backend="onnxruntime")
            finally:
                onnxruntime.InferenceSession = session

    return lambda: rtmlib.PoseTracker(Solution, det_frequency=every)


def _follow_rtmlib(tracker: Any, clip: Path) -> tuple[float, float]:
    """The loop of rtmlib's own example; opening the models is not timed."""
    capture, people, count = cv2.VideoCapture(str(clip)), 0, 0
    start = time.perf_counter()
    while True:
        got, frame = capture.read()
        if not got:
            return count / (time.perf_counter() - start), people / max(count, 1)
        keypoints, _ = tracker(frame)
        people += len(keypoints)
        count += 1


def _memory(pipeline: Pipeline, clip: Path, frames: int) -> None:
    """Resident memory of a long run, with the clip in a loop."""

    def looped() -> Iterator[tuple[float, Any]]:
        count = 0
        while count < frames:
            with open_source(clip) as source:
                frame: Frame
                for frame in source:
                    yield count / 30, frame.image
                    count += 1
                    if count == frames:
                        return

    table = Table("frame", "resident, MiB")
    settled = 0.0
    for number, _ in enumerate(pipeline.follow(looped()), 1):
        if number in (SETTLED, frames) or number % 1000 == 0:
            now = _resident()
            settled = now if number == SETTLED else settled
            table.add_row(str(number), f"{now:.1f}")
    table.add_row(f"growth from {SETTLED}", f"{_resident() - settled:+.1f}")
    Console().print(table)


def _resident() -> float:
    """MiB of this process in memory."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise InputError("this system does not tell its resident memory in /proc/self/status")


def _drawing(pipeline: Pipeline, clip: Path) -> None:
    """Milliseconds of drawing a person at 720p, beyond the picture's copy."""
    from rtmpose_sdk.drawing import Painter

    with open_source(clip) as source:
        frame = next(iter(source))
    height, width = frame.image.shape[:2]
    scale = 720 / min(height, width)
    picture = cv2.resize(frame.image, (round(width * scale), round(height * scale)))
    poses = pipeline(picture)
    poses = poses[poses.box_scores > 0.5]
    table = Table(f"{len(poses)} people at {picture.shape[1]}x{picture.shape[0]}", "ms / person")
    for name, painter in (
        ("by side", Painter()),
        ("by id, trail, hidden faces", Painter(color_by="id", trail=1, hide_faces=True)),
    ):
        times = []
        for turn in range(60):
            start = time.perf_counter()
            painter(np.asarray(picture, np.uint8), poses, turn / 30)
            times.append(time.perf_counter() - start)
        table.add_row(name, f"{1000 * float(np.median(times)) / max(len(poses), 1):.2f}")
    Console().print(table)


def main() -> None:
    """Entry point."""
    run(app)


if __name__ == "__main__":
    main()
