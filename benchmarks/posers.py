"""How are many pictures posed: one by one, in batches, by several processes, from where it stopped?"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import PoseResult

Find = Callable[[NDArray[np.uint8], Any], PoseResult]
"""Picture and boxes, or None → poses."""


class Task(NamedTuple):
    """A picture to pose.

    Attributes:
        picture: its id in the annotations.
        file: where it is.
        boxes: (N,4) xyxy px of the persons, or None where a detector looks for them.
    """

    picture: int
    file: Path
    boxes: NDArray[np.float32] | None


Poser = Callable[[Sequence[Task]], Iterator[PoseResult]]
"""Poses pictures, in their order."""
_ARRAYS = ("boxes", "box_scores", "keypoints", "keypoint_scores", "confidences", "depths")


def one_by_one(find: Find) -> Poser:
    """A call for each picture."""
    return lambda tasks: (find(read_image(task.file), task.boxes) for task in tasks)


def batched(predictor: Predictor) -> Poser:
    """As many pictures at once as fill the predictor's batch. For given boxes."""

    def pose(tasks: Sequence[Task]) -> Iterator[PoseResult]:
        pictures: list[NDArray[np.uint8]] = []
        boxes: list[Any] = []
        for task in tasks:
            pictures.append(read_image(task.file))
            boxes.append(task.boxes)
            if sum(map(len, boxes)) >= predictor.batch_limit:
                yield from predictor.many(pictures, boxes)
                pictures, boxes = [], []
        yield from predictor.many(pictures, boxes)

    return pose


def in_processes(count: int, open_pipeline: Callable[[], Pipeline]) -> Poser:
    """Several processes, each with a pipeline of its own, and with as many threads of OpenCV's as this one.

    Args:
        count: of processes.
        open_pipeline: can be pickled.
    """

    def pose(tasks: Sequence[Task]) -> Iterator[PoseResult]:
        context = multiprocessing.get_context("spawn")  # engines do not survive a fork
        with ProcessPoolExecutor(count, context, _start, (open_pipeline, cv2.getNumThreads())) as pool:
            try:
                yield from pool.map(_work, tasks, chunksize=4)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    return pose


def kept(poser: Poser, file: Path, settings: dict[str, Any], keypoint_set: KeypointSet) -> Poser:
    """What is found goes to a file, line by line; what is there already is not asked for again.

    Args:
        poser: of what is not there.
        file: of an earlier run with the same settings, or none yet.
        settings: what the results depend on.
        keypoint_set: of the results.

    Raises:
        InputError: the file is of other settings, or is no such file.
        OutputError: it cannot be written.
    """
    return functools.partial(_kept, poser, file, settings, keypoint_set)


def _kept(
    poser: Poser, file: Path, settings: dict[str, Any], keypoint_set: KeypointSet, tasks: Sequence[Task]
) -> Iterator[PoseResult]:
    known = _read(file, settings, keypoint_set)
    fresh = poser([task for task in tasks if task.picture not in known])
    with _writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.open("a", encoding="utf-8")
        is_new = lines.tell() == 0
    try:
        if is_new:
            _add(lines, file, settings)
        for task in tasks:
            poses = known.get(task.picture)
            if poses is None:
                poses = next(fresh)
                _add(lines, file, {"picture": task.picture, **_plain(poses)})
            yield poses
    finally:
        with _writing(file):
            lines.close()


def _add(lines: TextIO, file: Path, row: dict[str, Any]) -> None:
    with _writing(file):
        lines.write(json.dumps(row) + "\n")
        lines.flush()


@contextlib.contextmanager
def _writing(file: Path) -> Iterator[None]:
    """What the system refuses within it is of this file; a poser has errors of its own."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{file}: cannot be written ({error.strerror})") from None


def _read(file: Path, settings: dict[str, Any], keypoint_set: KeypointSet) -> dict[int, PoseResult]:
    """Poses by picture; a last line that was cut off is taken away."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    whole = raw[: raw.rfind(b"\n") + 1]
    try:
        if not whole and not json.dumps(settings).encode().startswith(raw):
            raise ValueError("it has no whole line")
        first, *rows = [json.loads(line) for line in whole.splitlines()] or [settings]
        if not isinstance(first, dict) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line is no object")
        known = {row.pop("picture"): _poses(row, keypoint_set) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file}: not what `rtmpose eval --resume` wrote ({error}); give another name"
        ) from None
    other = [f"{k} {first.get(k)} (now {settings[k]})" for k in settings if first.get(k) != settings[k]]
    if other:
        raise InputError(
            f"{file}: was begun with {', '.join(other)}; repeat those settings, or give another name"
        )
    if len(whole) < len(raw):
        with _writing(file), file.open("r+b") as lines:
            lines.truncate(len(whole))
    return known


def _plain(poses: PoseResult) -> dict[str, Any]:
    """Python's float of a float32 is exact, and so is its text."""
    arrays = {name: getattr(poses, name) for name in _ARRAYS}
    return {
        "image_size": list(poses.image_size),
        **{name: None if values is None else values.tolist() for name, values in arrays.items()},
    }


def _poses(row: dict[str, Any], keypoint_set: KeypointSet) -> PoseResult:
    persons, names = len(row["boxes"]), len(keypoint_set)
    shapes = dict(zip(_ARRAYS, [(4,), (), (names, 2), (names,), (names,), (names,)], strict=True))
    arrays: dict[str, Any] = {
        name: None if row[name] is None else np.array(row[name], np.float32).reshape(persons, *shapes[name])
        for name in _ARRAYS
    }
    width, height = row["image_size"]
    return PoseResult(**arrays, keypoint_set=keypoint_set, image_size=(width, height))


_pipeline: Pipeline | None = None


def _start(open_pipeline: Callable[[], Pipeline], opencv: int) -> None:
    global _pipeline
    cv2.setNumThreads(opencv)
    _pipeline = open_pipeline()


def _work(task: Task) -> PoseResult:
    assert _pipeline is not None
    picture = read_image(task.file)
    if _pipeline.detector is None:
        return _pipeline.top_down()(picture, task.boxes)
    return _pipeline(picture)
