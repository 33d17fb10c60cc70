"""Who is who from frame to frame? Tracks, matched by pose and box in one cost (OKS and IoU)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.appearance import alikeness, blended, unknown_looks
from rtmpose_sdk.boxes import box_areas, iou, overlap_of_smaller
from rtmpose_sdk.motion import BoxMotion
from rtmpose_sdk.oks import similarity
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.tracking import Tracking
from rtmpose_sdk.tracks import SCENE_CONFIDENCE, Candidates, Track, better_half, keypoint_extent

Floats = NDArray[np.float32]

DETECTED_NOISE = 0.04
"""Standard deviation of a detector's box, body sizes."""
POSED_NOISE = 0.08
"""The same of a box that was made from keypoints."""
IMPOSSIBLE = 1e3
OKS_WIDENING = 2.0
"""Falloffs are so much wider than COCO's: they must span the motion between two frames too."""
EDGE = 4.0
"""A box that comes so near to the picture's edge, px, may be cut off by it."""
PASSING = 0.6
"""Seconds after which somebody at the edge has come in or gone out."""
PASSING_OVERLAP = 0.5
PASSING_LIKENESS = 0.4
"""Likeness of two boxes at the edge of which one lies in the other."""
MARGIN_MEMORY = 0.5
"""Share of the old margin when a new one is measured."""
GROWTH = 1.5
"""Between detections a box grows or shrinks by at most this factor's power of e in a second."""
LONGEST_GROWTH = 20.0
"""Where that power ends: pictures may be minutes apart."""
LOOK_SHARE = 0.2
"""Of what is seen now in the memory of somebody's clothes."""
FREE_OVERLAP = 0.3
"""Overlap with another person's box above which colours may be that person's."""
OTHER_CLOTHES = 0.2
"""Who is less alike than this to somebody who was lost is somebody else."""
DOUBTFUL = 0.6
"""A pose less sure than this makes a box that counts less."""
BLIND = 0.4
"""Seconds from one frame to the next above which anybody may be as far off as who was lost."""
FIRST_REACH = 0.6
"""Body sizes from where a lost person should be, within which one may come back at once."""
REACH_GROWTH = 0.8
"""Body sizes by which that reach grows in a second."""
LONGEST_REACH = 1.8
"""Body sizes at which it ends."""
LEAST_SIZE_RATIO = 0.5
"""The smaller of two sizes to the larger: below it, it is not the same person who comes back."""
RETURN_LIKENESS = 0.25
"""Likeness of a lost person's return at the end of the reach."""
RETURN_SPAN = 0.35
"""What is added where place and size are the same: still less than of most who are tracked."""
KEYPOINT_MEMORY = 0.8
"""Share of its confidence that a keypoint keeps in each frame in which it is not seen."""
SIZE_SLACK = 1.02
"""Factor by which a box differs from the last detection's size whatever the time: no two are equal."""


class Tracker:
    """The tracks of one stream.

    Args:
        sigmas: (K,) OKS falloffs of the keypoint set.
        settings: see `Tracking`.

    Attributes:
        sigmas: the falloffs, widened.
    """

    def __init__(self, sigmas: Floats, settings: Tracking) -> None:
        self.settings = settings
        self.image_size = (0, 0)
        self.tracks: list[Track] = []
        self.sigmas = sigmas * OKS_WIDENING
        self._last_number = 0
        self._time = -math.inf

    @property
    def active(self) -> list[Track]:
        """Tracks that are not lost."""
        return [t for t in self.tracks if t.state != "lost"]

    def clear(self) -> None:
        """Nobody who was there is there any more; ids go on."""
        self.tracks = []

    def predict(self, time: float) -> None:
        """Move all tracks on to `time`; forget who was lost for too long."""
        # Before the last time only after a frame that failed: see `PoseStream.__call__`.
        elapsed = max(time - self._time, 0.0) if self.tracks else 0.0
        self._time = time
        self.tracks = [
            t for t in self.tracks if t.state != "lost" or time - t.seen <= self.settings.reentry
        ]
        for track in self.tracks:
            before = track.motion.box
            track.motion.predict(elapsed)
            after = track.motion.box
            shift = (after[:2] + after[2:] - before[:2] - before[2:]) / 2
            track.keypoints = (track.keypoints + shift).astype(np.float32)

    def places(self, tracks: list[Track]) -> Floats:
        """(T,4) xyxy px: where tracks should be. Detections end at the picture's edge, so do these."""
        if not tracks:
            return np.zeros((0, 4), np.float32)
        places: Floats = np.clip(
            np.stack([t.motion.box for t in tracks]), 0, np.array([*self.image_size] * 2, np.float32)
        )
        return places

    def fits(self, candidates: Candidates) -> Floats:
        """(N,) how much candidates are like whom of the tracks they are most like; 0...1."""
        tracks = self.active
        if not tracks:
            return np.zeros(len(candidates), np.float32)
        fits: Floats = self._likeness(tracks, self.places(tracks), candidates).max(axis=0)
        return fits

    def match(self, candidates: Candidates, tracks: list[Track]) -> list[tuple[int, int]]:
        """Pairs (track, candidate) of the best assignment over OKS and IoU in one cost (Hungarian).

        A candidate of score 0 is a track's own place, where no detection was.
        """
        if not tracks or not len(candidates):
            return []
        boxes = self.places(tracks)
        likeness = self._likeness(tracks, boxes, candidates)
        for row, track in enumerate(tracks):
            if track.state == "lost":
                likeness[row] = self._return_likeness(track, candidates)
            elif self._time - track.seen > BLIND:
                likeness[row] = np.maximum(likeness[row], self._return_likeness(track, candidates))
        low, high = boxes[:, :2] <= EDGE, boxes[:, 2:] >= np.array(self.image_size) - EDGE
        for row in np.flatnonzero((low | high).any(axis=1)).tolist():
            tracks[row].at_edge = self._time
        # Whoever comes in or goes out changes size: a leg, later a person. One lies in the other.
        recent = np.array([self._time - min(t.seen, t.at_edge) < PASSING for t in tracks])
        within = np.maximum(
            overlap_of_smaller(boxes, candidates.boxes),
            overlap_of_smaller(np.stack([t.last_box for t in tracks]), candidates.boxes),
        )
        alike = alikeness(np.stack([t.look for t in tracks]), candidates.looks)
        likeness *= 1 - np.float32(self.settings.look_weight) * (1 - alike)
        gone = np.array([t.state == "lost" for t in tracks])
        if self.settings.look_weight > 0 and gone.any():
            free = np.array([_stands_free(candidates.boxes, i) for i in range(len(candidates))])
            likeness[gone[:, None] & free & (alike < OTHER_CLOTHES)] = 0
        passing = recent[:, None] & (within > PASSING_OVERLAP) & (candidates.scores > 0)
        likeness = np.maximum(likeness, np.where(passing, PASSING_LIKENESS * within, 0))
        return self._to_detections(self._in_turn(tracks, likeness), likeness, candidates)

    def _in_turn(self, tracks: list[Track], likeness: Floats) -> list[tuple[int, int]]:
        """Who is tentative gets what the others leave: it may be a part of one of them."""
        tentative = np.array([t.state == "tentative" for t in tracks])
        pairs: list[tuple[int, int]] = []
        for group in (~tentative, tentative):
            rows, taken = np.flatnonzero(group).tolist(), {index for _, index in pairs}
            free = [index for index in range(likeness.shape[1]) if index not in taken]
            if rows and free:
                found = assign(likeness[np.ix_(rows, free)], self.settings.least_likeness)
                pairs += [(rows[row], free[column]) for row, column in found]
        return sorted(pairs)

    def _to_detections(
        self, pairs: list[tuple[int, int]], likeness: Floats, candidates: Candidates
    ) -> list[tuple[int, int]]:
        """A detection that nobody got is no newcomer where a track that fits has its own old place only."""
        own = {row: index for row, index in pairs if candidates.scores[index] == 0}
        taken = {index for _, index in pairs}
        sure = candidates.scores >= self.settings.new_score
        free = [index for index in np.flatnonzero(sure).tolist() if index not in taken]
        rows = list(own)
        found = assign(likeness[np.ix_(rows, free)], self.settings.least_likeness) if rows and free else []
        better = {rows[row]: free[column] for row, column in found}
        return [(row, better.get(row, index)) for row, index in pairs]

    def _likeness(self, tracks: list[Track], boxes: Floats, candidates: Candidates) -> Floats:
        oks = similarity(
            np.stack([t.keypoints for t in tracks]),
            candidates.keypoints,
            np.stack([t.confidences for t in tracks]),
            candidates.confidences,
            box_areas(boxes),
            self.sigmas,
        )
        overlap = iou(boxes, candidates.boxes)
        weight = self.settings.oks_weight
        return np.where(np.isnan(oks), overlap, weight * oks + (1 - weight) * overlap)

    def _return_likeness(self, track: Track, candidates: Candidates) -> Floats:
        """(N,) of a track not seen lately: near where it should be by now, in body sizes, and of its size.

        The reach grows with the time; poses change meanwhile, so they say nothing. Only what was
        detected can be a return.
        """
        size = track.motion.size
        boxes = candidates.boxes
        centre = track.motion.box[:2] + track.motion.box[2:]
        distance = np.hypot(*((boxes[:, :2] + boxes[:, 2:] - centre) / 2).T) / size
        reach = min(FIRST_REACH + REACH_GROWTH * (self._time - track.seen), LONGEST_REACH)
        sizes = np.sqrt(box_areas(boxes))
        ratio = np.minimum(sizes, size) / np.maximum(np.maximum(sizes, size), 1e-6)
        likeness = (1 - distance / reach) * ratio
        # Whoever is tracked and fits comes before whoever was lost.
        likeness = RETURN_LIKENESS + RETURN_SPAN * np.clip(likeness, 0, None)
        possible = (distance < reach) & (ratio > LEAST_SIZE_RATIO)
        possible &= candidates.scores >= self.settings.new_score
        return np.where(possible, likeness, 0).astype(np.float32)

    def update(self, track: Track, candidates: Candidates, index: int, measured: Floats | None) -> None:
        """Take in a matched candidate; `measured` (4,) is its box where no detection stands behind."""
        time = self._time
        score = float(candidates.scores[index])
        keypoints, confidences = candidates.keypoints[index], candidates.confidences[index]
        solid = confidences >= SCENE_CONFIDENCE
        if track.state == "lost":
            track.motion = BoxMotion(candidates.boxes[index], DETECTED_NOISE)
            track.state = "confirmed"
            track.margins = None
            track.keypoints, track.confidences = keypoints.copy(), confidences.copy()
        elif measured is None:
            track.motion.update(candidates.boxes[index], DETECTED_NOISE)
        else:
            doubt = max(DOUBTFUL / max(better_half(confidences), 0.05), 1.0)
            track.motion.update(measured, POSED_NOISE * doubt**2)
        track.keypoints = np.where(solid[:, None], keypoints, track.keypoints).astype(np.float32)
        # One that was seen before and is not now counts less and less.
        kept = KEYPOINT_MEMORY * track.confidences
        track.confidences = np.where(solid, confidences, kept).astype(np.float32)
        if _stands_free(candidates.boxes, index):
            track.look = blended(track.look, candidates.looks[index], LOOK_SHARE)
        track.seen = time
        track.last_box = track.motion.box
        if measured is None:
            track.detected, track.score = time, score
            track.detected_confidence = better_half(confidences)
            track.detected_size = _size_of(candidates.boxes[index])
            track.hits += 1
            self._measure_margins(track, candidates.boxes[index])
            if track.state == "tentative" and track.hits >= 2:
                self._confirm(track)

    def begin(self, candidates: Candidates, index: int, at_once: bool) -> Track:
        """A new track from a detection; `at_once` confirms it."""
        track = Track(
            BoxMotion(candidates.boxes[index], DETECTED_NOISE),
            candidates.keypoints[index].copy(),
            candidates.confidences[index].copy(),
            self._time,
            self._time,
            float(candidates.scores[index]),
            _size_of(candidates.boxes[index]),
            candidates.looks[index].copy(),
            detected_confidence=better_half(candidates.confidences[index]),
        )
        self._measure_margins(track, candidates.boxes[index])
        self.tracks.append(track)
        if at_once:
            self._confirm(track)
        return track

    def restore(self, poses: PoseResult, time: float, lost: bool = False) -> None:
        """Tracks as a result (with ids) of `time` shows them, which have been lost since or not."""
        now, self._time = self._time, time
        for i in range(len(poses)):
            assert poses.track_ids is not None
            person = Candidates(
                poses.boxes[i : i + 1],
                poses.box_scores[i : i + 1],
                poses.keypoints[i : i + 1],
                poses.keypoint_scores[i : i + 1],
                poses.confidences[i : i + 1],
                unknown_looks(1),
            )
            self.begin(person, 0, False)
            self.tracks[-1].state = "lost" if lost else "confirmed"
            self.tracks[-1].number = int(poses.track_ids[i])
        self._time = max(now, time)

    def never_again(self, number: int) -> None:
        """Ids up to `number` are taken."""
        self._last_number = max(self._last_number, number)

    def lose(self, track: Track) -> None:
        """Nobody was where it should be: lost, or never there."""
        if track.state == "tentative":
            self.tracks.remove(track)
        track.state = "lost"

    def _confirm(self, track: Track) -> None:
        self._last_number += 1
        track.state, track.number = "confirmed", self._last_number

    def _measure_margins(self, track: Track, box: Floats) -> None:
        sure = track.confidences >= SCENE_CONFIDENCE
        extent = keypoint_extent(track.keypoints, sure)
        if extent is None:
            return
        margins = (box - extent) / track.motion.size
        before = track.framing
        if track.margins is not None and before is not None and np.array_equal(sure, before):
            margins = MARGIN_MEMORY * track.margins + (1 - MARGIN_MEMORY) * margins
        track.margins, track.framing = margins.astype(np.float32), sure

    def take_over(self, track: Track, candidates: Candidates, index: int, score: float) -> None:
        """The candidate at a track's own place counts as detected with `score`, its box is the pose's."""
        candidates.scores[index] = score
        candidates.boxes[index] = self.box_from_pose(
            track, candidates.keypoints[index], candidates.confidences[index]
        )

    def box_from_pose(self, track: Track, keypoints: Floats, confidences: Floats) -> Floats:
        """(4,) xyxy px: the extent of the keypoints that were sure at the last detection, and around it
        what the detector showed then.

        Those that are not sure now are taken from the track, moved along, so that the box neither jumps
        nor slides when an ankle is hidden. Without enough of them it is the predicted box.
        """
        predicted = track.motion.box
        if track.margins is None or track.framing is None:
            return predicted
        solid = confidences >= SCENE_CONFIDENCE
        extent = keypoint_extent(np.where(solid[:, None], keypoints, track.keypoints), track.framing)
        if extent is None:
            return predicted
        box = extent + track.margins * track.motion.size
        new_ones = keypoints[solid & ~track.framing]
        if len(new_ones):  # of a leg that comes into the picture
            low, high = new_ones.min(axis=0), new_ones.max(axis=0)
            box = np.concatenate([np.minimum(box[:2], low), np.maximum(box[2:], high)])
        new = box[2:] - box[:2]
        if (new <= 0).any():
            return predicted
        centre = (box[:2] + box[2:]) / 2
        limit = SIZE_SLACK * math.exp(min(GROWTH * (self._time - track.detected), LONGEST_GROWTH))
        half = np.clip(new, track.detected_size / limit, track.detected_size * limit) / 2
        return np.concatenate([centre - half, centre + half]).astype(np.float32)


def _stands_free(boxes: Floats, index: int) -> bool:
    """Nobody else's box covers much of this one: the colours are this person's own."""
    others = np.delete(boxes, index, axis=0)
    return not len(others) or bool(
        overlap_of_smaller(boxes[index : index + 1], others).max() < FREE_OVERLAP
    )


def _size_of(box: Floats) -> Floats:
    size: Floats = box[2:] - box[:2]
    return size


def assign(likeness: Floats, least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) with the largest sum of likeness (N,M), each at least `least`."""
    import lap

    cost = np.where(likeness >= least, 1 - likeness, IMPOSSIBLE).astype(np.float64)
    # What is left alone costs as much as a pair of likeness 0.
    _, columns, _ = lap.lapjv(cost, extend_cost=True, cost_limit=1.0)
    return [(row, int(col)) for row, col in enumerate(columns) if col >= 0]
