"""What is measured: every model x engine x precision x threads x batch x persons, opened side by side."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk._version import __version__
from rtmpose_sdk.benchmarks.baseline import PEER
from rtmpose_sdk.benchmarks.machine import resident_memory
from rtmpose_sdk.benchmarks.multiply_adds import multiply_adds
from rtmpose_sdk.benchmarks.peers import open_peer
from rtmpose_sdk.benchmarks.stages import (
    Step,
    detect_steps,
    picture_steps,
    pipeline_steps,
    pose_steps,
    track_steps,
)
from rtmpose_sdk.errors import DeviceError, InputError, MissingExtraError
from rtmpose_sdk.pipeline import Pipeline


@dataclass(frozen=True)
class Choice:
    """One combination; None leaves it to the artifact, or to the SDK."""

    pose: str
    engine: str | None
    precision: str | None
    threads: int | None
    batch: int | None
    persons: int

    def __str__(self) -> str:
        return self.named(Path(self.pose).name)

    def named(self, model: str) -> str:
        """In words, with the model called so."""
        parts = [model, self.engine, self.precision]
        if self.threads:
            parts.append(f"{self.threads} thread{'s' * (self.threads > 1)}")
        if self.batch:
            parts.append(f"batch {self.batch}")
        return ", ".join([*(p for p in parts if p), f"{self.persons} person{'s' * (self.persons > 1)}"])


@dataclass
class Candidate:
    """An opened choice: its steps, and what is known of it before it is timed."""

    choice: Choice
    name: str
    pipeline: Pipeline
    steps: dict[str, Step]
    setting: dict[str, Any]
    artifact: dict[str, Any] = field(default_factory=dict)


def choices(
    poses: Sequence[str],
    engines: Sequence[str],
    precisions: Sequence[str],
    threads: Sequence[int],
    batches: Sequence[int],
    persons: Sequence[int],
) -> Iterator[Choice]:
    """All combinations; an empty list stands for the default."""
    found = itertools.product(
        poses, engines or (None,), precisions or (None,), threads or (None,), batches or (None,), persons
    )
    return (Choice(*values) for values in found)


def crowd(
    picture: NDArray[np.uint8], box: Sequence[float], persons: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture side by side, a person in each part: as many persons as wanted, all real, none hidden."""
    height, width = picture.shape[:2]
    columns = int(np.ceil(np.sqrt(persons)))
    rows = -(-persons // columns)
    canvas = np.full((rows * height, columns * width, 3), 114, np.uint8)
    boxes = []
    for i in range(persons):
        y, x = height * (i // columns), width * (i % columns)
        canvas[y : y + height, x : x + width] = picture
        boxes.append(np.asarray(box, np.float32) + np.array([x, y, x, y], np.float32))
    return canvas, np.array(boxes, np.float32)


def open_candidates(
    wanted: Sequence[Choice],
    stack: contextlib.ExitStack,
    detector: str | None,
    device: str,
    picture: NDArray[np.uint8],
    box: Sequence[float],
    peers: Sequence[str] = (),
    detector_size: tuple[int, int] | None = None,
) -> tuple[list[Candidate], list[str]]:
    """Those that can be had here, with names that tell them apart; of the others, the reasons.

    Args:
        wanted: at least one.
        stack: closes them.
        detector, device, picture, box, peers, detector_size: see `open_candidate`.

    Raises:
        RTMPoseError: a model that is no model, or no combination can be had.
    """
    found, left_out, ready = [], [], set()
    for choice in wanted:
        kind = choice.engine, Path(choice.pose).suffix
        try:
            if kind not in ready:
                # What an engine loads once for all, the first candidate would pay for in memory and time.
                _open(choice, detector, device, detector_size).close()
                ready.add(kind)
            candidate = open_candidate(choice, detector, device, picture, box, peers, detector_size)
        except (DeviceError, InputError, MissingExtraError) as error:
            if len(wanted) == 1:
                raise
            left_out.append(f"{choice}: {error}")
        else:
            stack.enter_context(candidate.pipeline)
            found.append(candidate)
    if not found:
        raise InputError(f"none of the {len(wanted)} combinations can be had: {'; '.join(left_out)}")
    tell_apart(found)
    return found, left_out


def tell_apart(candidates: Sequence[Candidate]) -> None:
    """Say as much of the paths of models of one file name (model.xml, model.xml) as it takes.

    `pose` stays as it is when each is timed alone, for baselines.
    """
    paths = {c.pipeline.top_down().runtime.path.resolve() for c in candidates}
    for candidate in candidates:
        path = candidate.pipeline.top_down().runtime.path.resolve()
        rivals = [p for p in paths if p.name == path.name and p != path]
        if rivals:
            count = next(
                n for n in itertools.count(2) if all(p.parts[-n:] != path.parts[-n:] for p in rivals)
            )
            label = Path(*path.parts[-count:]).as_posix()
            candidate.name = candidate.choice.named(label)
            candidate.setting["file"] = candidate.artifact["file"] = label


def open_candidate(
    choice: Choice,
    detector: str | None,
    device: str,
    picture: NDArray[np.uint8],
    box: Sequence[float],
    peers: Sequence[str] = (),
    detector_size: tuple[int, int] | None = None,
) -> Candidate:
    """Open both networks and make the steps.

    Raises:
        RTMPoseError: see Pipeline and `open_peer`.
    """
    scene, boxes = crowd(picture, box, choice.persons)
    before = resident_memory()
    start = time.perf_counter()
    pipeline = _open(choice, detector, device, detector_size)
    load = time.perf_counter() - start
    try:
        predictor = pipeline.top_down()
        predictor(scene, boxes)
        setting: dict[str, Any] = {}
        if pipeline.detector is not None:
            setting["persons found"] = len(pipeline(scene))
        after = resident_memory()  # both networks ran once, and nothing else did
        steps = pose_steps(predictor, scene, boxes) | picture_steps(predictor, scene, boxes)
        if pipeline.detector is not None:
            steps |= detect_steps(pipeline.detector, scene) | pipeline_steps(pipeline, scene)
            steps |= track_steps(pipeline, scene)
        for name in peers:
            peer = open_peer(name, pipeline)
            short = name.partition("=")[0]
            setting[f"persons found by {short}"] = len(peer(scene))
            setting[f"peer {short}"] = peer.version
            steps[f"{PEER}{short}"] = lambda peer=peer: peer(scene)  # type: ignore[misc]
    except Exception:
        pipeline.close()
        raise
    runtime = predictor.runtime
    files = [runtime.path]
    if runtime.path.suffix in (".xml", ".param"):  # OpenVINO's and ncnn's weights are beside the graph
        files.append(runtime.path.with_suffix(".bin"))
    macs = multiply_adds(runtime.path)
    return Candidate(
        choice,
        str(choice),
        pipeline,
        steps,
        {
            "sdk": __version__,
            "engine": runtime.engine,
            "device": str(runtime.device),
            "precision": runtime.precision,
            "threads": runtime.threads,
            "batch": predictor.batch_limit,
            "pose": f"{predictor.card.name} ({runtime.path.name})",
            "detector": pipeline.detector.card.name if pipeline.detector else None,
            "detector size": list(detector_size) if detector_size else None,
            "persons": choice.persons,
            **setting,
        },
        {
            "size MB": sum(os.path.getsize(f) for f in files) / 1e6,
            "load ms": 1000 * load,
            "memory MB": None if before is None or after is None else after - before,
            "multiply-adds": None if macs is None else macs * choice.persons,
            "file": Path(*runtime.path.resolve().parts[-2:]).as_posix(),
            "accuracy": dict(predictor.card.accuracy),
            "input size": list(predictor.card.input_size),
        },
    )


def _open(
    choice: Choice, detector: str | None, device: str, detector_size: tuple[int, int] | None
) -> Pipeline:
    return Pipeline(
        choice.pose,
        detector,
        device,
        threads=choice.threads,
        precision=choice.precision,
        engine=choice.engine,
        detector_size=detector_size,
        batch_limit=choice.batch,
    )
