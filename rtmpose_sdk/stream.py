"""The state of one video: when to detect, who is who, how calm (paper section 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.appearance import Wardrobe
from rtmpose_sdk.cuts import CutFinder
from rtmpose_sdk.decode import iou, suppress
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.oks import overlap_of_smaller, sigmas_of, suppress_poses
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.smoothing import OneEuro, Smoothing
from rtmpose_sdk.tracking import Tracker, Tracking
from rtmpose_sdk.tracks import SCENE_CONFIDENCE, Candidates, Track, better_half

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Detect = Callable[[Image], Detections]
Pose = Callable[[Image, Detections], PoseResult]

DETECT_EVERY = 5
"""Frames from one detection to the next."""
BOX_NMS = 0.65
LEAST_OVERLAP = 0.45
"""IoU of a track's box with the detection that stands for it."""
PART_OVERLAP = 0.8
UNPROVEN_OVERLAP = 0.3
"""Overlap of boxes of which not both were detected, above which alike poses are one person's."""
DOUBTFUL_SCORE = 0.67
"""Share of `new_score` below which a detection carries a track on only together with its pose."""
LEAST_VISIBLE = 0.2
"""Share of a box inside the picture below which its person has left."""


@dataclass(frozen=True)
class FrameResult:
    """What a stream found in one frame.

    Attributes:
        poses: the confirmed persons, with track ids.
        time: seconds.
        index: number of the frame in the stream, from 0.
        detected: the detector was asked in this frame.
        cut: a new scene begins here.
        seconds: what the parts took: detect, pose, and own (tracking and smoothing).
    """

    poses: PoseResult
    time: float
    index: int
    detected: bool
    cut: bool
    seconds: dict[str, float] = field(default_factory=dict)


class PoseStream:
    """Skip-frame detection, identities and smoothing of one stream of frames.

    Between detections, boxes come from the last poses. The detector is asked at once when a person is
    lost, when nobody is there, and when the picture cuts. Not for several threads at a time; make one
    stream for each video, they may share a Pipeline.

    Args:
        detect: frame → Detections.
        pose: frame and Detections → PoseResult, one row for each box, in order.
        keypoint_set: the pose network's.
        detect_every: frames from one detection to the next; 1 is every frame.
        tracking: settings of the identities.
        smoothing: settings of the One-Euro filter; None leaves keypoints as they are measured.
    """

    def __init__(
        self,
        detect: Detect,
        pose: Pose,
        keypoint_set: KeypointSet,
        detect_every: int = DETECT_EVERY,
        tracking: Tracking | None = None,
        smoothing: Smoothing | None = None,
    ) -> None:
        if detect_every < 1:
            raise InputError(f"detect_every is {detect_every}; expected at least 1")
        self.detect, self._pose = detect, pose
        self._settings = tracking or Tracking()
        self._smoothing = smoothing
        self.keypoint_set = keypoint_set
        self._sigmas = sigmas_of(keypoint_set)
        self._wardrobe = Wardrobe(keypoint_set)
        self._tracker = Tracker(self._sigmas, self._settings)
        self._filters: dict[int, OneEuro] = {}
        self._every = detect_every
        self._index = -1
        self._time = -math.inf
        self._size: tuple[int, int] | None = None
        self._cuts = CutFinder()
        self._spent: dict[str, float] = {}

    def __call__(self, image: object, time: float, detections: Detections | None = None) -> FrameResult:
        """The persons in the next frame.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            time: seconds, later than the last frame's.
            detections: of this frame, where they are known already; the detector is not asked then.

        Raises:
            ImageError: not such a picture.
            InputError: a time that is not after the last one, or NaN.
        """
        picture = as_bgr(image)
        if not time > self._time or math.isinf(time):
            raise InputError(
                f"frame {self._index + 1} has time {time} s, the one before {self._time} s; expected "
                "seconds that grow. Count frames (index / fps) where a source's time stamps are wrong"
            )
        start = perf_counter()
        self._spent = {"detect": 0.0, "pose": 0.0}
        self._time = time
        self._index += 1
        cut = self._cuts(picture)
        self._size = (picture.shape[1], picture.shape[0])
        if cut:
            self._tracker.clear()
            self._filters.clear()
        self._tracker.image_size = self._size
        self._tracker.predict(time)
        due = self._index % self._every == 0 or cut or not self._tracker.active
        asked = due or detections is not None
        if asked:
            shown = self._track_detected(picture, detections)
        else:
            shown, lost = self._track_undetected(picture)
            if lost:
                asked = True
                shown = self._track_detected(picture, None)
        poses = self._result(shown, picture)
        spent = self._spent
        spent["own"] = perf_counter() - start - spent["detect"] - spent["pose"]
        return FrameResult(poses, time, self._index, asked, cut and self._index > 0, spent)

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._index + 1

    def restore(self, count: int, time: float, poses: PoseResult | None, last_number: int) -> None:
        """Go on where an earlier run stopped: `--resume`.

        Args:
            count: frames that were done.
            time: seconds of the last one.
            poses: what it showed, with track ids; None is nobody.
            last_number: the highest id that was given.
        """
        self._index, self._time = count - 1, time
        if poses is not None and len(poses):
            self._size = poses.image_size
            self._cuts = CutFinder(self._size)
            self._tracker.image_size = poses.image_size
            self._tracker.restore(poses, time)
        self._tracker.never_again(last_number)

    def is_due(self, index: int) -> bool:
        """True where frame `index` asks the detector whatever happens: who looks ahead may do it before."""
        return index % self._every == 0

    def _ask_detector(self, picture: Image) -> Detections:
        start = perf_counter()
        found = self.detect(picture)
        self._spent["detect"] += perf_counter() - start
        return found

    def _ask_pose(self, picture: Image, boxes: Floats, scores: Floats) -> Candidates:
        """Poses in boxes (N,4) xyxy px."""
        start = perf_counter()
        size = (picture.shape[1], picture.shape[0])
        if len(boxes):
            found = self._pose(picture, Detections(boxes, scores, size))
        else:
            found = PoseResult.empty(self.keypoint_set, size)
        self._spent["pose"] += perf_counter() - start
        looks = self._wardrobe(picture, found.keypoints, found.confidences)
        return Candidates(boxes, scores, found.keypoints, found.keypoint_scores, found.confidences, looks)

    def _track_detected(
        self, picture: Image, detections: Detections | None
    ) -> list[tuple[Track, Candidates, int]]:
        """A frame with detections: match, begin, lose."""
        settings, tracker = self._settings, self._tracker
        found = self._ask_detector(picture) if detections is None else detections
        boxes, scores = _unpack(found, settings.keep_score)
        kept = suppress(boxes, scores, BOX_NMS)
        boxes, scores = boxes[kept], scores[kept]
        active = [t for t in tracker.active if self._is_inside(t)]
        for track in [t for t in tracker.active if t not in active]:
            tracker.lose(track)
        chosen = _choose(boxes, scores, active, settings.new_score)
        unseen = [t for t, i in chosen.items() if i is None]
        strong = np.flatnonzero(scores >= settings.new_score).tolist()
        rows = list(dict.fromkeys([*strong, *(i for i in chosen.values() if i is not None)]))
        by_id = {id(t): t for t in active}
        unseen_tracks = [by_id[key] for key in unseen]
        own = [clip_box(t.motion.box, picture) for t in unseen_tracks]
        all_boxes = np.concatenate([boxes[rows], np.array(own, np.float32).reshape(-1, 4)])
        all_scores = np.concatenate([scores[rows], np.zeros(len(own), np.float32)])
        candidates = self._ask_pose(picture, all_boxes, all_scores.astype(np.float32))
        candidates = self._without_doubles(self._without_nobody(candidates))
        pairs = tracker.match(candidates, tracker.tracks)
        shown = []
        tracks = list(tracker.tracks)
        taken = {c for _, c in pairs}
        for row, index in pairs:
            track = tracks[row]
            score = float(candidates.scores[index])
            weak = score < DOUBTFUL_SCORE * settings.new_score
            if weak and (track.state == "lost" or not self._is_believable(track, candidates, index)):
                tracker.lose(track)
                continue
            if score > 0:
                tracker.update(track, candidates, index, None)
            else:
                box = tracker.box_from_pose(
                    track, candidates.keypoints[index], candidates.confidences[index]
                )
                tracker.update(track, candidates, index, box)
            shown.append((track, candidates, index))
        matched = {row for row, _ in pairs}
        for row, track in enumerate(tracks):
            if row not in matched and track.state != "lost":
                tracker.lose(track)
        for index in range(len(candidates)):
            score = float(candidates.scores[index])
            if index not in taken and score >= settings.new_score:
                track = tracker.begin(candidates, index, score >= settings.sure_score)
                shown.append((track, candidates, index))
        return shown

    def _track_undetected(self, picture: Image) -> tuple[list[tuple[Track, Candidates, int]], bool]:
        """A frame between detections; whether somebody was lost (then nothing was taken in)."""
        tracker = self._tracker
        tracks = tracker.active
        if any(not self._is_inside(t) for t in tracks):
            return [], True
        boxes = np.array([clip_box(t.motion.box, picture) for t in tracks], np.float32).reshape(-1, 4)
        candidates = self._ask_pose(picture, boxes, np.zeros(len(boxes), np.float32))
        candidates = self._without_doubles(candidates)
        pairs = tracker.match(candidates, tracks)
        believed = [(r, c) for r, c in pairs if self._is_believable(tracks[r], candidates, c)]
        if len(believed) < len(tracks):
            return [], True
        shown = []
        for row, index in believed:
            track = tracks[row]
            box = tracker.box_from_pose(track, candidates.keypoints[index], candidates.confidences[index])
            tracker.update(track, candidates, index, box)
            shown.append((track, candidates, index))
        return shown, False

    def _is_believable(self, track: Track, candidates: Candidates, index: int) -> bool:
        """Is a pose that no detection stands behind somebody? It fell neither low nor by half."""
        now = better_half(candidates.confidences[index])
        usual = now if track.usual_confidence is None else track.usual_confidence
        track.usual_confidence = 0.8 * usual + 0.2 * now
        undetected = self._time - track.detected
        return (
            now >= self._settings.least_confidence
            and now > 0.5 * usual
            and undetected <= self._settings.undetected
        )

    def _is_inside(self, track: Track) -> bool:
        assert self._size is not None
        box = track.motion.box
        inside = np.clip(box, 0, [*self._size, *self._size])
        share = (inside[2:] - inside[:2]).prod() / max((box[2:] - box[:2]).prod(), 1e-6)
        return bool(share >= LEAST_VISIBLE and (inside[2:] - inside[:2] >= 2).all())

    def _without_nobody(self, candidates: Candidates) -> Candidates:
        """Without poses that no detection stands behind and that are not sure: they stand in the way."""
        least = self._settings.least_confidence
        rows = [
            i
            for i in range(len(candidates))
            if candidates.scores[i] > 0 or better_half(candidates.confidences[i]) >= least
        ]
        return candidates.take(rows)

    def _without_doubles(self, candidates: Candidates) -> Candidates:
        """Pose NMS; detections come before what only a track says."""
        weights = np.where(candidates.confidences >= SCENE_CONFIDENCE, candidates.confidences, 0)
        mean = candidates.confidences.mean(axis=1) if len(candidates) else candidates.scores
        # Two detections may be two people in each other's arms; a track's own box is no proof.
        detected = candidates.scores > 0
        overlap = np.where(
            detected[:, None] & detected[None], self._settings.overlap_nms, UNPROVEN_OVERLAP
        ).astype(np.float32)
        kept = suppress_poses(
            candidates.keypoints,
            weights,
            candidates.boxes,
            candidates.scores + 0.1 * mean,
            self._sigmas,
            self._settings.oks_nms,
            overlap,
        )
        return candidates.take(kept)

    def _result(self, shown: list[tuple[Track, Candidates, int]], picture: Image) -> PoseResult:
        """Confirmed persons, by id, smoothed."""
        size = (picture.shape[1], picture.shape[0])
        rows = sorted(
            ((t, c, i) for t, c, i in shown if t.state == "confirmed"), key=lambda row: row[0].number
        )
        alive = {t.number for t in self._tracker.tracks if t.state == "confirmed"}
        self._filters = {n: f for n, f in self._filters.items() if n in alive}
        if not rows:
            ids = np.empty(0, np.int64)
            return _with_ids(PoseResult.empty(self.keypoint_set, size), ids)
        keypoints = []
        for track, candidates, index in rows:
            points = candidates.keypoints[index]
            if self._smoothing is not None:
                smooth = self._filters.setdefault(track.number, OneEuro(self._smoothing))
                points = smooth(
                    points,
                    candidates.confidences[index],
                    self._time,
                    track.motion.size,
                    track.motion.velocity,
                )
            keypoints.append(points)
        return PoseResult(
            boxes=np.stack([clip_box(t.motion.box, picture) for t, _, _ in rows]),
            box_scores=np.array([t.score for t, _, _ in rows], np.float32),
            keypoints=np.stack(keypoints).astype(np.float32),
            keypoint_scores=np.stack([c.keypoint_scores[i] for _, c, i in rows]),
            confidences=np.stack([c.confidences[i] for _, c, i in rows]),
            keypoint_set=self.keypoint_set,
            image_size=size,
            track_ids=np.array([t.number for t, _, _ in rows], np.int64),
        )


def clip_box(box: Floats, picture: Image) -> Floats:
    """A box (4,) xyxy px inside the picture, of at least 2 px."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    x1, y1 = min(max(x1, 0.0), width - 2.0), min(max(y1, 0.0), height - 2.0)
    x2, y2 = max(min(x2, float(width)), x1 + 2), max(min(y2, float(height)), y1 + 2)
    return np.array([x1, y1, x2, y2], np.float32)


def _unpack(found: Detections, keep_score: float) -> tuple[Floats, Floats]:
    rows = found.scores >= keep_score
    return found.boxes[rows], found.scores[rows]


def _choose(boxes: Floats, scores: Floats, tracks: list[Track], new_score: float) -> dict[int, int | None]:
    """The box that each track (by `id`) most likely means, weak ones last (ByteTrack)."""
    chosen: dict[int, int | None] = {id(t): None for t in tracks}
    if not tracks or not len(boxes):
        return chosen
    overlap = iou(np.stack([t.motion.box for t in tracks]), boxes)
    strong = scores >= new_score
    # A weak box within a strong one is a part of that person.
    part = np.zeros(len(boxes), bool)
    if strong.any():
        part = ~strong & (overlap_of_smaller(boxes, boxes[strong]).max(axis=1) > PART_OVERLAP)
    for row, track in enumerate(tracks):
        for group in (strong, ~strong & ~part):
            fitting = np.flatnonzero(group & (overlap[row] >= LEAST_OVERLAP))
            if len(fitting):
                chosen[id(track)] = int(fitting[np.argmax(overlap[row, fitting])])
                break
    return chosen


def _with_ids(result: PoseResult, ids: NDArray[np.int64]) -> PoseResult:
    import dataclasses

    return dataclasses.replace(result, track_ids=ids)
