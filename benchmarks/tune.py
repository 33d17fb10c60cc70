"""Which engine, precision, threads, batch and detector interval suit this machine?

Within a kind of artifact (a precision) results are the same, so only time decides: engines, threads and
batches compete by successive halving. The winners of each kind are put together to pipelines with each
interval, and those are measured on a clip and for what they lose.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.benchmarks.accuracy import evaluate_poses
from rtmpose_sdk.benchmarks.agreement import disagreement
from rtmpose_sdk.benchmarks.halving import Point, halve, halve_to_front
from rtmpose_sdk.benchmarks.posers import one_by_one
from rtmpose_sdk.benchmarks.subset import present
from rtmpose_sdk.card import Task
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.stream import PoseStream
from rtmpose_sdk.tracking import Tracking

Images = NDArray[np.uint8]
Tell = Callable[[str], None]
_FRAME_SECONDS = 1 / 25
_BATCHES = (1, 4, 16)


class Openable(Protocol):
    """What a candidate has to be, see `rtmpose_sdk.exporters.candidates.Variant`."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def kind(self) -> str:
        """Those of one kind give the same results."""

    def open(self, task: Task, threads: int) -> Model:
        """The running network."""


class Setting(NamedTuple):
    """A network's place in the search."""

    variant: Openable
    threads: int
    batch: int

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.variant.name}, {self.threads} threads, batch {self.batch}"


class Choice(NamedTuple):
    """A whole pipeline."""

    pose: Setting
    detector: Setting
    detect_every: int

    @property
    def name(self) -> str:
        """For tables and keys."""
        return f"{self.pose.name} | {self.detector.name} | every {self.detect_every}"


class Truth(NamedTuple):
    """Annotations (COCO json) and the folder with their pictures, of which some may be missing."""

    annotations: Path
    images: Path
    allow_missing: bool = False

    def select(self, truth: dict[str, Any]) -> dict[str, Any]:
        """What is measured on.

        Raises:
            InputError: see `present`.
        """
        return present(truth, self.images, self.allow_missing)[0]


@dataclass(frozen=True)
class Job:
    """What is tuned for.

    Attributes:
        pose, detector: candidates, the fp32 reference first.
        clip: frames (H,W,3) uint8 BGR of one video, for time and for the interval.
        pictures: for agreement, where there is no truth.
        truth: for AP.
        threads: most threads.
        persons: in a frame, for batches.
        intervals: detector intervals.
        runs: of each finalist.
    """

    pose: Sequence[Openable]
    detector: Sequence[Openable]
    clip: Sequence[Images]
    pictures: Sequence[Images]
    truth: Truth | None
    threads: int
    persons: int
    intervals: Sequence[int]
    runs: int


class Found(NamedTuple):
    """Points by name, the choices behind them, and what the loss is of."""

    points: dict[str, Point]
    choices: dict[str, Choice]
    loss_of: str


class Stopped(KeyboardInterrupt):
    """Ctrl-C in the search.

    Attributes:
        settings: ms of a call of each network's settings, of whole rounds.
        pipelines: the same of pipelines, and what they lose; ms of a frame.
    """

    def __init__(self, settings: dict[str, float], pipelines: dict[str, Point]) -> None:
        super().__init__()
        self.settings = settings
        self.pipelines = pipelines


def tune(job: Job, tell: Tell = lambda _: None) -> Found:
    """Search.

    Raises:
        InputError: no frame, or nobody in the clip or the pictures.
        Stopped: Ctrl-C, with what was measured so far.
    """
    opencv = cv2.getNumThreads()
    cv2.setNumThreads(job.threads)  # it would take every core
    settings: dict[str, float] = {}
    pipelines: dict[str, Point] = {}
    try:
        _check_clip(job)
        poses = _winners(job, "pose", tell, settings)
        detectors = _winners(job, "detect", tell, settings)
        return _pipelines(job, poses, detectors, tell, pipelines)
    except KeyboardInterrupt:
        raise Stopped(settings, pipelines) from None
    finally:
        cv2.setNumThreads(opencv)


def _check_clip(job: Job) -> None:
    """Before minutes of search: with nobody there, detectors alone are timed and no interval loses."""
    if not job.clip:
        raise InputError("the clip has no frame; expected at least one with persons (--video)")
    with _detector(Setting(job.detector[0], job.threads, 1)) as finder:
        if not any(len(finder(frame)) for frame in job.clip):
            raise InputError(
                f"nobody is found in the {len(job.clip)} frames of the clip; give one with persons "
                "(--video, or more --frames of it)"
            )


def _winners(job: Job, role: Task, tell: Tell, seen: dict[str, float]) -> list[Setting]:
    """The fastest setting of each kind, the reference's kind first."""
    candidates = job.pose if role == "pose" else job.detector
    frame = job.clip[0]
    height, width = frame.shape[:2]
    boxes = np.tile(np.array([[0, 0, width, height]], np.float32), (job.persons, 1))
    batches = sorted({min(b, job.persons) for b in _BATCHES}) if role == "pose" else [1]
    winners = []
    for kind in dict.fromkeys(c.kind for c in candidates):
        settings = {
            s.name: s
            for c in candidates
            if c.kind == kind
            for threads in _thread_counts(job.threads)
            for batch in batches
            for s in [Setting(c, threads, batch)]
        }
        with contextlib.ExitStack() as stack:
            steps: dict[str, Callable[[], object]] = {}
            for name, setting in settings.items():
                if role == "pose":
                    predictor = stack.enter_context(_predictor(setting))
                    steps[name] = lambda p=predictor: p(frame, boxes)  # type: ignore[misc]
                else:
                    finder = stack.enter_context(_detector(setting))
                    steps[name] = lambda d=finder: d(frame)  # type: ignore[misc]
            times = halve(
                steps, 1, told=lambda ms: seen.update({f"{role} {name}": t for name, t in ms.items()})
            )
        best = next(iter(times))
        winners.append(settings[best])
        tell(f"{role} {kind}: {best}, {times[best]:.2f} ms, of {len(settings)}")
    return winners


def _thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    return sorted({most, *(1 << i for i in range(most.bit_length()) if 1 << i <= most)})


def _predictor(setting: Setting) -> Predictor:
    return Predictor(setting.variant.open("pose", setting.threads), batch_limit=setting.batch)


def _detector(setting: Setting) -> Detector:
    opened = setting.variant.open("detect", setting.threads)
    return Detector(opened, score_threshold=DEFAULT_DETECTION_THRESHOLD)


def _pipelines(
    job: Job, poses: list[Setting], detectors: list[Setting], tell: Tell, seen: dict[str, Point]
) -> Found:
    """Time and loss of every winner with every other, at every interval."""
    with contextlib.ExitStack() as stack:
        nets = {s.name: stack.enter_context(_predictor(s)) for s in poses}
        finders = {s.name: stack.enter_context(_detector(s)) for s in detectors}
        first_net, first_finder = nets[poses[0].name], finders[detectors[0].name]
        every = {
            interval: list(_play(job.clip, first_net, first_finder, interval))
            for interval in sorted({1, *job.intervals})
        }
        interval_loss = {n: 100 * disagreement(every[1], found) for n, found in every.items()}
        pair_loss = _pair_losses(job, nets, finders)
        choices, losses, steps = {}, {}, {}
        for p in poses:
            for d in detectors:
                tell(f"{p.variant.name} + {d.variant.name}: loses {pair_loss[p.name, d.name]:.2f}")
                for n in job.intervals:
                    choice = Choice(p, d, n)
                    choices[choice.name] = choice
                    losses[choice.name] = max(pair_loss[p.name, d.name], 0.0) + interval_loss[n]
                    steps[choice.name] = _playing(job.clip, nets[p.name], finders[d.name], n)
        frames = len(job.clip)

        def told(ms: Mapping[str, float]) -> None:
            seen.update({name: Point(took / frames, losses[name]) for name, took in ms.items()})

        points = halve_to_front(steps, losses, job.runs, told)
    return Found({name: seen[name] for name in points}, choices, "AP" if job.truth else "agreement")


def _playing(clip: Sequence[Images], net: Predictor, finder: Detector, every: int) -> Callable[[], object]:
    return lambda: list(_play(clip, net, finder, every))


def _play(clip: Sequence[Images], net: Predictor, finder: Detector, every: int) -> Iterator[PoseResult]:
    """The clip as a video."""
    detect = functools.partial(finder, score_threshold=Tracking().keep_score)
    stream = PoseStream(detect, net, net.keypoint_set, every, smoothing=None)
    for i, frame in enumerate(clip):
        yield stream(frame, i * _FRAME_SECONDS).poses


def _pair_losses(
    job: Job, nets: Mapping[str, Predictor], finders: Mapping[str, Detector]
) -> dict[tuple[str, str], float]:
    """What each pair loses against the first, in points of 100."""
    pairs = {(n, f): (nets[n], finders[f]) for n in nets for f in finders}
    first = next(iter(pairs))
    if job.truth is not None:
        truth = job.truth
        ap = {
            names: evaluate_poses(
                one_by_one(lambda picture, _, net=net, finder=finder: net(picture, finder(picture))),  # type: ignore[misc]
                net.keypoint_set,
                truth.annotations,
                truth.images,
                False,
                select=truth.select,
            ).ap
            for names, (net, finder) in pairs.items()
        }
        if ap[first] <= 0:
            raise InputError(
                f"{truth.annotations}: the AP of {' with '.join(first)} is {ap[first]:.3f}, of which "
                "nothing can be lost; are these the annotations of the pictures and of the keypoints?"
            )
        return {names: 100 * (ap[first] - value) for names, value in ap.items()}
    results = {
        names: [net(picture, finder(picture)) for picture in job.pictures]
        for names, (net, finder) in pairs.items()
    }
    if not any(len(found) for found in results[first]):
        raise InputError("nobody is found in the pictures; give pictures with persons (--images)")
    return {names: 100 * disagreement(results[first], found) for names, found in results.items()}
