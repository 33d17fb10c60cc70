"""The state of one video: when to detect, who is who, how calm (paper section 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.appearance import Wardrobe, unknown_looks
from rtmpose_sdk.choosing import choose_boxes, strong_enough, without_nobody
from rtmpose_sdk.cuts import CutFinder
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.frame import FrameResult
from rtmpose_sdk.geometry import check_detections
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.oks import sigmas_of
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.sharing import shared_boxes, whose, without_doubles
from rtmpose_sdk.showing import Seen, Showing
from rtmpose_sdk.smoothing import DEFAULT_SMOOTHING, Smoothing, check_smoothing
from rtmpose_sdk.tracker import Tracker
from rtmpose_sdk.tracking import Tracking, check_tracking
from rtmpose_sdk.tracks import Candidates, Track, better_half, is_framed
from rtmpose_sdk.values import is_number, is_whole

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Detect = Callable[[Image], object]
Pose = Callable[[Image, Detections], PoseResult]

DETECT_EVERY = 5
"""Frames from one detection to the next."""
DOUBTFUL_SCORE = 0.67
"""Share of `new_score` below which a detection carries a track on only together with its pose."""
INTERVAL_SHARE = 0.1
"""Of the last frame's interval in the usual one."""
LEAST_VISIBLE = 0.2
"""Share of a box inside the picture below which its person has left."""
CONFIDENCE_FALL = 0.5
"""Share of the usual confidence at and below which a pose that no detection stands behind is nobody's."""


class PoseStream:
    """Skip-frame detection, identities and smoothing of one stream of frames.

    Between detections, boxes come from the last poses. The detector is asked at once when a person is
    lost, when nobody is there, and when the picture cuts. Not for several threads at a time; make one
    stream for each video, they may share a Pipeline.

    Args:
        detect: frame → Detections, or (N,4) xyxy px, which count as sure; None: each call brings them.
        pose: frame and Detections → PoseResult, one row for each box, in order.
        keypoint_set: the pose network's.
        detect_every: frames from one detection to the next; 1 is every frame.
        tracking: settings of the identities.
        smoothing: settings of the One-Euro filter; None leaves keypoints as they are measured.

    Raises:
        InputError: a setting that cannot be.
    """

    def __init__(
        self,
        detect: Detect | None,
        pose: Pose,
        keypoint_set: KeypointSet,
        detect_every: int = DETECT_EVERY,
        tracking: Tracking | None = None,
        smoothing: Smoothing | None = DEFAULT_SMOOTHING,
    ) -> None:
        if not is_whole(detect_every, 1):
            raise InputError(f"detect_every is {detect_every!r}; expected a whole number, at least 1")
        if detect is not None and not callable(detect):
            raise InputError(
                f"detect is {detect!r:.60}; expected a function: picture → Detections, or None"
            )
        self.detect, self._pose = detect, pose
        self._settings = check_tracking(Tracking() if tracking is None else tracking)
        self._showing = Showing(keypoint_set, check_smoothing(smoothing))
        self.keypoint_set = keypoint_set
        self._sigmas = sigmas_of(keypoint_set)
        self._wardrobe = Wardrobe(keypoint_set)
        self._tracker = Tracker(self._sigmas, self._settings)
        self._every = detect_every
        self._index = -1
        self._time = -math.inf
        self._interval = 0.0
        self._detected = -math.inf
        self._size: tuple[int, int] | None = None
        self._cuts = CutFinder()
        self._spent: dict[str, float] = {}

    def __call__(
        self, image: object, time: float, detections: Detections | object | None = None
    ) -> FrameResult:
        """The persons in the next frame.

        A call that raises counts as no frame: the next one has its number, and its turn to detect.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            time: seconds, later than the last frame's.
            detections: of this frame, where they are known already; the detector is not asked then. Boxes
                (N,4) xyxy px count as sure.

        Raises:
            ImageError: not such a picture.
            InputError: a time that is no number or not after the last one; detections of another picture's
                size, boxes or scores that cannot be; or neither a detector nor detections.
            EngineError: an engine failed or gave NaN.
        """
        picture = as_bgr(image)
        size = (picture.shape[1], picture.shape[0])
        self._check_time(time)
        found = None if detections is None else check_detections(detections, size)
        if found is None and self.detect is None:
            raise InputError(
                "there is no detector: call with detections=..., or give the stream one (detect=...)"
            )
        start = perf_counter()
        self._spent = {"detect": 0.0, "pose": 0.0}
        cuts = copy(self._cuts)
        cut = cuts(picture)
        if found is None and (self.is_due(self.count) or cut or not self._tracker.active):
            found = self._ask_detector(picture)  # before anything changes, as it may fail
        asked = found is not None
        before = self._time, self._interval, self._detected
        try:
            self._go_on(time, size, cut)
            if found is not None:
                shown = self._track_detected(picture, *found)
            else:
                shown, lost = self._track_undetected(picture)
                if lost:
                    asked = True
                    shown = self._track_detected(picture, *self._ask_detector(picture))
        except BaseException:
            self._time, self._interval, self._detected = before
            raise
        self._index, self._cuts = self.count, cuts
        alive = {t.number for t in self._tracker.tracks if t.state == "confirmed"}
        poses = self._showing(shown, alive, picture, time)
        spent = self._spent
        spent["own"] = perf_counter() - start - spent["detect"] - spent["pose"]
        return FrameResult(poses, time, self._index, asked, cut and self._index > 0, spent)

    def _check_time(self, time: float) -> None:
        if not is_number(time):
            raise InputError(f"time is {time!r:.60}; expected seconds that grow, a number")
        if time <= self._time:
            raise InputError(
                f"frame {self.count} has time {time} s, the one before {self._time} s; expected "
                "seconds that grow. Count frames (index / fps) where a source's time stamps are wrong"
            )

    def _go_on(self, time: float, size: tuple[int, int], cut: bool) -> None:
        """To the next frame, of `size` (width, height) px; everybody moves on."""
        if math.isfinite(self._time):
            interval = time - self._time
            self._interval += (INTERVAL_SHARE if self._interval else 1.0) * (interval - self._interval)
        self._time, self._size = time, size
        if cut:
            self._tracker.clear()
            self._showing.clear()
        self._tracker.image_size = size
        self._tracker.predict(time)

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._index + 1

    def restore(
        self,
        count: int,
        time: float,
        poses: PoseResult | None,
        last_number: int,
        lost: Sequence[tuple[float, PoseResult]] = (),
    ) -> None:
        """Go on where an earlier run stopped: `--resume`.

        Args:
            count: frames that were done.
            time: seconds of the last one.
            poses: what it showed, with track ids; None is nobody.
            last_number: the highest id that was given.
            lost: of others, when they were seen last, s, and how.
        """
        self._index, self._time = count - 1, time
        if poses is not None:
            self._size = poses.image_size
            self._cuts = CutFinder(self._size)
            self._tracker.image_size = poses.image_size
            self._tracker.restore(poses, time)
        for seen, others in lost:
            self._tracker.restore(others, seen, lost=True)
        self._tracker.never_again(last_number)

    def is_due(self, index: int) -> bool:
        """True where frame `index` asks the detector whatever happens: who looks ahead may do it before."""
        return index % self._every == 0

    def _ask_detector(self, picture: Image) -> tuple[Floats, Floats]:
        """Boxes (N,4) and scores (N,)."""
        assert self.detect is not None  # or each call has brought detections
        start = perf_counter()
        found = self.detect(picture)
        self._spent["detect"] += perf_counter() - start
        return check_detections(found, (picture.shape[1], picture.shape[0]))

    def _ask_pose(self, picture: Image, boxes: Floats, scores: Floats) -> Candidates:
        """Poses in boxes (N,4) xyxy px."""
        start = perf_counter()
        size = (picture.shape[1], picture.shape[0])
        if len(boxes):
            found = self._pose(picture, Detections(boxes, scores, size))
        else:
            found = PoseResult.empty(self.keypoint_set, size)
        self._spent["pose"] += perf_counter() - start
        if self._settings.look_weight > 0:
            looks = self._wardrobe(picture, found.keypoints, found.confidences)
        else:
            looks = unknown_looks(len(found))
        keypoints, scored, sure = found.keypoints, found.keypoint_scores, found.confidences
        return Candidates(boxes, scores, keypoints, scored, sure, looks, found.depths)

    def _track_detected(self, picture: Image, boxes: Floats, scores: Floats) -> list[Seen]:
        """A frame with detections, boxes (N,4) and scores (N,): match, begin, lose."""
        settings, tracker = self._settings, self._tracker
        self._detected = self._time
        boxes, scores = strong_enough(boxes, scores, settings.keep_score)
        active = [t for t in tracker.active if self._is_inside(t)]
        for track in [t for t in tracker.active if t not in active]:
            tracker.lose(track)
        candidates = self._candidates(picture, boxes, scores, active)
        candidates = self._without_doubles(without_nobody(candidates, settings.least_confidence))
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
            if weak:
                track.remember_confidence(better_half(candidates.confidences[index]))
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

    def _candidates(self, picture: Image, boxes: Floats, scores: Floats, active: list[Track]) -> Candidates:
        """Poses in the detections (N,4), (N,) that are sure or somebody's, and where nobody's are."""
        tracker, sure = self._tracker, scores >= self._settings.new_score
        places = tracker.places(active)
        chosen = choose_boxes(boxes, scores, active, places, self._settings.new_score)
        shared = shared_boxes(boxes, sure, active, places, chosen)
        sharing = {id(t) for several in shared.values() for t in several}
        unseen = [t for t in active if chosen[id(t)] is None or id(t) in sharing]
        used = [i for i in chosen.values() if i is not None]
        rows = list(dict.fromkeys([*np.flatnonzero(sure).tolist(), *used]))
        own = tracker.places(unseen)
        all_boxes = np.concatenate([boxes[rows], own])
        all_scores = np.concatenate([scores[rows], np.zeros(len(own), np.float32)])
        candidates = self._ask_pose(picture, all_boxes, all_scores.astype(np.float32))
        own_row = {id(t): len(rows) + i for i, t in enumerate(unseen)}
        kept = list(range(len(candidates)))
        for index, several in shared.items():
            theirs = [own_row[id(t)] for t in several]
            owner = whose(several, candidates.take(theirs), tracker.sigmas)
            if owner is not None:  # the box of all of them is nobody's
                tracker.take_over(several[owner], candidates, theirs[owner], float(scores[index]))
                kept.remove(rows.index(index))
        return candidates.take(kept)

    def _track_undetected(self, picture: Image) -> tuple[list[Seen], bool]:
        """A frame between detections; whether somebody was lost (then nothing was taken in)."""
        tracker = self._tracker
        tracks = tracker.active
        if any(not self._is_inside(t) for t in tracks):
            return [], True
        boxes = tracker.places(tracks)
        candidates = self._ask_pose(picture, boxes, np.zeros(len(boxes), np.float32))
        candidates = self._without_doubles(candidates)
        pairs = tracker.match(candidates, tracks)
        believed = [(r, c) for r, c in pairs if self._is_believable(tracks[r], candidates, c)]
        if len(believed) < len(tracks):
            return [], True
        shown = []
        for row, index in believed:
            track = tracks[row]
            track.remember_confidence(better_half(candidates.confidences[index]))
            box = tracker.box_from_pose(track, candidates.keypoints[index], candidates.confidences[index])
            tracker.update(track, candidates, index, box)
            shown.append((track, candidates, index))
        return shown, False

    def _is_believable(self, track: Track, candidates: Candidates, index: int) -> bool:
        """Is a pose that no detection stands behind somebody? It fell neither low nor by half, and has
        enough sure keypoints to make a box.

        Who was detected last time although the pose was low then is not lost by a low pose: asking again
        would not tell more. Nor is anybody lost before the next detection by the time that passed.
        """
        now = better_half(candidates.confidences[index])
        usual = now if track.usual_confidence is None else track.usual_confidence
        low = self._settings.least_confidence
        if track.detected == self._detected < self._time and track.detected_confidence < low:
            low = 0.0
        undetected = self._time - track.detected
        longest = max(self._settings.undetected, (self._every + 0.5) * self._interval)
        seen = low == 0.0 or is_framed(candidates.confidences[index])
        return seen and now >= low and now > CONFIDENCE_FALL * usual and undetected <= longest

    def _is_inside(self, track: Track) -> bool:
        assert self._size is not None
        box = track.motion.box
        inside = np.clip(box, 0, [*self._size, *self._size])
        share = (inside[2:] - inside[:2]).prod() / max((box[2:] - box[:2]).prod(), 1e-6)
        return bool(share >= LEAST_VISIBLE and (inside[2:] - inside[:2] >= 2).all())

    def _without_doubles(self, candidates: Candidates) -> Candidates:
        settings = self._settings
        fits = self._tracker.fits
        return without_doubles(candidates, fits, self._sigmas, settings.oks_nms, settings.overlap_nms)
