"""Made-up videos with known truth: people who walk, cross, hide and leave, seen by faulty networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.identity import People
from rtmpose_sdk.boxes import box_areas, clip_boxes, intersections, iou
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.results import Detections, PoseResult

Floats = NDArray[np.float32]
SIZE = (1280, 720)
COCO = get_keypoint_set("coco17")

# A standing person in its box: x and y in 0...1.
_BODY = np.array(
    [
        *((0.50, 0.08), (0.54, 0.06), (0.46, 0.06), (0.58, 0.08), (0.42, 0.08)),
        *((0.68, 0.20), (0.32, 0.20), (0.78, 0.36), (0.22, 0.36), (0.80, 0.50), (0.20, 0.50)),
        *((0.62, 0.52), (0.38, 0.52), (0.62, 0.74), (0.38, 0.74), (0.62, 0.95), (0.38, 0.95)),
    ],
    np.float32,
)
Path = Callable[[float], tuple[float, float, float] | None]
"""Seconds → centre of the feet x, y and height of the body, px; None is away."""


@dataclass
class Scene:
    """People on their ways, and networks that see them with faults.

    Attributes:
        paths: one for each person; who stands lower in the picture is in front.
        seconds, fps: length and frame rate.
        miss: share of the persons that the detector does not see in a frame.
        ghosts: false boxes in a frame, on average; half of them in a place that stays.
        doubles: share of the persons that are detected twice.
        jitter: standard deviation of boxes and keypoints, body sizes.
        hidden: a person of whom so much is covered is not detected, and its pose is that of who covers it.
        seed: of the faults.
        clothes: everybody wears other colours; else all wear the same.
    """

    paths: list[Path]
    seconds: float = 8.0
    fps: float = 30.0
    miss: float = 0.0
    ghosts: float = 0.0
    doubles: float = 0.0
    jitter: float = 0.01
    hidden: float = 0.7
    seed: int = 0
    clothes: bool = False

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._light = np.random.default_rng(self.seed)
        self.count = round(self.seconds * self.fps)
        self.time = 0.0
        self.detections = 0

    def people(self, time: float) -> People:
        """The truth: who is in the picture; hidden people are not in it."""
        boxes, ids = self._present(time)
        covered, _ = _cover(boxes)
        shown = covered < self.hidden
        clipped = clip_boxes(boxes, SIZE)
        share = box_areas(clipped) / box_areas(boxes)
        shown &= share > 0.5
        return People(clipped[shown], ids[shown])

    def picture(self) -> NDArray[np.uint8]:
        """The frame at `self.time`: who stands lower is in front; light and shadow change the colours."""
        boxes, ids = self._present(self.time)
        picture = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
        colours = np.random.default_rng(7).uniform(20, 235, (len(self.paths), 2, 3))
        light = self._light.normal(0, 8, (len(self.paths), 1, 1))
        for row in np.argsort(boxes[:, 3]) if len(boxes) else ():
            x1, y1, x2, y2 = boxes[row].round().astype(int).clip(0).tolist()
            worn = (colours + light)[ids[row] if self.clothes else 0].clip(0, 255)
            middle = (y1 + y2) // 2
            picture[y1:middle, x1:x2] = worn[0]
            picture[middle:y2, x1:x2] = worn[1]
        return picture

    def _present(self, time: float) -> tuple[Floats, NDArray[np.int64]]:
        places = [(i, path(time)) for i, path in enumerate(self.paths)]
        rows = [(i, place) for i, place in places if place is not None]
        boxes = [[x - 0.2 * h, y - h, x + 0.2 * h, y] for _, (x, y, h) in rows]
        return np.array(boxes, np.float32).reshape(-1, 4), np.array([i for i, _ in rows], np.int64)

    def detect(self, _: object) -> Detections:
        """What a faulty detector sees at `self.time`."""
        self.detections += 1
        rng = self._rng
        people = self.people(self.time)
        boxes, scores = [], []
        for box in people.boxes:
            size = float(np.sqrt((box[2:] - box[:2]).prod()))
            for score in (0.8, 0.5)[: 1 + (rng.random() < self.doubles)]:
                if rng.random() >= self.miss:
                    boxes.append(box + rng.normal(0, self.jitter * size * (0.8 / score), 4))
                    scores.append(score + rng.normal(0, 0.05))
        for _ in range(rng.poisson(self.ghosts)):
            x, y = (1100.0, 300.0) if rng.random() < 0.5 else rng.uniform((0, 0), (1200, 500)).tolist()
            boxes.append(np.array([x, y, x + 70, y + 180]) + rng.normal(0, 2, 4))
            scores.append(rng.uniform(0.1, 0.42))
        made = np.array(boxes, np.float32).reshape(-1, 4)
        made = np.clip(made, 0, np.array([*SIZE, *SIZE], np.float32))
        return Detections(made, np.array(scores, np.float32).clip(0, 1), SIZE)

    def pose(self, _: object, asked: Detections) -> PoseResult:
        """What a faulty pose network makes of boxes: who fills the box best, else nothing sure."""
        rng = self._rng
        boxes, _ids = self._present(self.time)
        covered, by = _cover(boxes)
        keypoints, confidences = [], []
        for box in asked.boxes:
            who = _fills(box, boxes)
            if who is None:
                keypoints.append(box[:2] + rng.random((17, 2)) * (box[2:] - box[:2]))
                confidences.append(rng.uniform(0.02, 0.3, 17))
                continue
            if covered[who] >= self.hidden:
                who = int(by[who])
            true = boxes[who]
            size = float(np.sqrt((true[2:] - true[:2]).prod()))
            keypoints.append(
                true[:2] + _BODY * (true[2:] - true[:2]) + rng.normal(0, self.jitter * size, (17, 2))
            )
            confidences.append(rng.uniform(0.6, 0.95, 17))
        count = len(asked)
        sure = np.array(confidences, np.float32).reshape(count, 17)
        return PoseResult(
            asked.boxes,
            asked.scores,
            np.array(keypoints, np.float32).reshape(count, 17, 2),
            sure,
            sure,
            COCO,
            SIZE,
        )


def _cover(boxes: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """How much of each box lies behind one that stands lower, and behind which."""
    if not len(boxes):
        return np.empty(0, np.float32), np.empty(0, np.intp)
    share = intersections(boxes, boxes) / box_areas(boxes)[:, None]
    share[boxes[None, :, 3] <= boxes[:, None, 3]] = 0
    return share.max(axis=1), share.argmax(axis=1)


def _fills(box: Floats, boxes: Floats) -> int | None:
    if not len(boxes):
        return None
    overlap = iou(box[None], boxes)[0]
    best = int(overlap.argmax())
    return best if overlap[best] > 0.3 else None


def walk(
    start: tuple[float, float],
    speed: tuple[float, float],
    height: float = 300.0,
    away: tuple[float, float] = (9e9, 9e9),
    begin: float = 0.0,
) -> Path:
    """A straight way from `start` px with `speed` px / s; nobody before `begin` and while `away`."""

    def path(time: float) -> tuple[float, float, float] | None:
        if time < begin or away[0] <= time < away[1]:
            return None
        x, y = start[0] + speed[0] * (time - begin), start[1] + speed[1] * (time - begin)
        inside = -0.2 * height < x < SIZE[0] + 0.2 * height
        return (x, y, height) if inside else None

    return path


def crossing() -> list[Path]:
    """Four people, two from either side: each meets both who come the other way."""
    return [
        walk((150, 620), (160, 0)),
        walk((1130, 640), (-165, 0), 310),
        walk((100, 560), (90, 0), 260),
        walk((1180, 700), (-95, 0), 330),
    ]


SCENES: dict[str, Callable[[float], Scene]] = {
    "never hidden": lambda fps: Scene(crossing(), fps=fps, hidden=9.0),
    "four cross": lambda fps: Scene(crossing(), fps=fps),
    "misses 20 %": lambda fps: Scene(crossing(), fps=fps, miss=0.2, seed=1),
    "false boxes": lambda fps: Scene(crossing(), fps=fps, ghosts=2.0, seed=2),
    "double boxes": lambda fps: Scene(crossing(), fps=fps, doubles=0.4, seed=3),
    "noise": lambda fps: Scene(crossing(), fps=fps, jitter=0.03, seed=4),
    "all faults": lambda fps: Scene(
        crossing(), fps=fps, miss=0.15, ghosts=1, doubles=0.2, jitter=0.02, seed=5
    ),
    "misses 20 %, clothes": lambda fps: Scene(crossing(), fps=fps, miss=0.2, seed=1, clothes=True),
    "all faults, clothes": lambda fps: Scene(
        crossing(), fps=fps, miss=0.15, ghosts=1, doubles=0.2, jitter=0.02, seed=5, clothes=True
    ),
    "away for 1 s": lambda fps: Scene(
        [walk((300, 600), (60, 0), away=(2.0, 3.0)), walk((800, 650), (20, 0))], fps=fps, seed=6
    ),
    "come and go": lambda fps: Scene(
        [
            walk((-50, 600), (400, 0)),
            walk((1330, 620), (-400, 0), begin=4),
            walk((-50, 640), (300, 0), begin=6),
        ],
        seconds=10,
        fps=fps,
        seed=7,
    ),
}
