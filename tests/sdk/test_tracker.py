"""One tracker's decisions, on candidates made by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpose_sdk.appearance import PARTS
from rtmpose_sdk.tracker import Tracker, assign
from rtmpose_sdk.tracking import Tracking
from rtmpose_sdk.tracks import Candidates, is_framed

SIGMAS = np.full(4, 0.05, np.float32)


def candidates(*people: tuple[tuple[float, float, float, float], float]) -> Candidates:
    """Boxes (xyxy) and scores; keypoints near the corners of a box."""
    boxes = np.array([box for box, _ in people], np.float32)
    scores = np.array([score for _, score in people], np.float32)
    places = np.array([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]], np.float32)
    keypoints = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    sure = np.full((len(people), 4), 0.9, np.float32)
    return Candidates(
        boxes, scores, keypoints, sure, sure, np.full((len(people), PARTS, 3), np.nan, np.float32)
    )


@pytest.fixture
def tracker() -> Tracker:
    made = Tracker(SIGMAS, Tracking())
    made.image_size = (640, 480)
    made.predict(0.0)
    return made


HEAD = (300.0, 100.0, 400.0, 200.0)
WHOLE = (300.0, 100.0, 400.0, 350.0)
"""Somebody whose upper body alone was seen before: IoU 0.4 of the two."""


def test_a_person_who_is_seen_whole_is_no_newcomer(tracker: Tracker) -> None:
    tracker.begin(candidates((HEAD, 0.8)), 0, True)
    assert tracker.match(candidates((WHOLE, 0.8), (HEAD, 0.0)), tracker.tracks) == [(0, 0)]


def test_nor_is_somebody_far_away_that_person(tracker: Tracker) -> None:
    tracker.begin(candidates((HEAD, 0.8)), 0, True)
    away = (20.0, 100.0, 120.0, 350.0)
    assert tracker.match(candidates((away, 0.8), (HEAD, 0.0)), tracker.tracks) == [(0, 1)]


def test_a_detection_that_is_somebody_elses_stays_theirs(tracker: Tracker) -> None:
    """The first is hidden behind the second, who alone is detected."""
    tracker.begin(candidates((HEAD, 0.8), (WHOLE, 0.8)), 0, True)
    tracker.begin(candidates((HEAD, 0.8), (WHOLE, 0.8)), 1, True)
    pairs = tracker.match(candidates((WHOLE, 0.8), (HEAD, 0.0)), tracker.tracks)
    assert sorted(pairs) == [(0, 1), (1, 0)]


def test_a_part_of_somebody_that_is_detected_twice_is_nobody_else(tracker: Tracker) -> None:
    """Something stands before the upper half of who is known: the legs alone are seen, more than once."""
    legs = (300.0, 210.0, 400.0, 350.0)
    tracker.begin(candidates((legs, 0.48)), 0, False)
    tracker.begin(candidates((WHOLE, 0.8)), 0, True)
    tracker.predict(0.04)
    assert tracker.match(candidates((legs, 0.48)), tracker.tracks) == [(1, 0)]
    # Where the pose at the own place is another one, there are two.
    both = tracker.match(candidates((WHOLE, 0.0), (legs, 0.44)), tracker.tracks)
    assert both == [(0, 1), (1, 0)]


def test_what_is_hardly_detected_begins_nobody_and_moves_nobody(tracker: Tracker) -> None:
    tracker.begin(candidates((HEAD, 0.8)), 0, True)
    assert tracker.match(candidates((WHOLE, 0.2), (HEAD, 0.0)), tracker.tracks) == [(0, 1)]


PEEKING = (200.0, 400.0, 300.0, 480.0)
"""A head at the lower edge of a picture of 480 rows, and a tenth of a second later, seen smaller."""
SMALLER = (215.0, 395.0, 310.0, 470.0)
STANDING = (190.0, 230.0, 400.0, 480.0)


def came_in(tracker: Tracker, after: float) -> list[tuple[int, int]]:
    """What is matched with STANDING: somebody whose head was at the edge first, and off it last."""
    tracker.begin(candidates((PEEKING, 0.6)), 0, True)
    tracker.predict(0.1)
    assert tracker.match(candidates((PEEKING, 0.0)), tracker.tracks) == [(0, 0)]
    smaller = candidates((SMALLER, 0.0))
    tracker.update(tracker.tracks[0], smaller, 0, smaller.boxes[0])
    for step in range(2, round(after / 0.1) + 1):
        tracker.predict(step * 0.1)
        tracker.tracks[0].seen = step * 0.1
    tracker.tracks[0].motion = type(tracker.tracks[0].motion)(smaller.boxes[0], 0.04)
    return tracker.match(candidates((STANDING, 0.8)), tracker.tracks)


def test_who_comes_in_is_one_person_although_the_box_has_left_the_edge(tracker: Tracker) -> None:
    assert came_in(tracker, 0.2) == [(0, 0)]


def test_who_came_in_long_ago_does_not_grow_at_once(tracker: Tracker) -> None:
    assert came_in(tracker, 1.5) == []


LIKENESSES = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=columns, max_size=columns),
        min_size=1,
        max_size=4,
    )
)


@given(LIKENESSES, st.sampled_from([0.2, 0.5]))
def test_pairs_have_the_largest_sum_of_likeness(rows: list[list[float]], least: float) -> None:
    likeness = np.array(rows, np.float32)
    count, columns = likeness.shape
    places = [*range(columns), *[-1] * count]
    best = max(
        sum(likeness[r, c] for r, c in enumerate(chosen) if c >= 0 and likeness[r, c] >= least)
        for chosen in set(itertools.permutations(places, count))
    )
    pairs = assign(likeness, least)
    assert all(likeness[pair] >= least for pair in pairs)
    assert sum(likeness[pair] for pair in pairs) == pytest.approx(best, abs=1e-5)


def gone_and_back(tracker: Tracker, now: Candidates) -> list[tuple[int, int]]:
    """What is matched half a second after somebody in white was lost."""
    before = candidates((WHOLE, 0.8))
    before.looks[:] = 250.0
    tracker.begin(before, 0, True)
    tracker.lose(tracker.tracks[0])
    tracker.predict(0.5)
    return tracker.match(now, tracker.tracks)


@pytest.mark.parametrize(("colour", "pairs"), [(250.0, [(0, 0)]), (10.0, []), (np.nan, [(0, 0)])])
def test_a_newcomer_in_other_clothes_is_not_who_was_lost(
    tracker: Tracker, colour: float, pairs: list[tuple[int, int]]
) -> None:
    now = candidates((WHOLE, 0.8))
    now.looks[:] = colour
    assert gone_and_back(tracker, now) == pairs


def test_who_comes_back_has_the_pose_of_now(tracker: Tracker) -> None:
    now = candidates(((360.0, 100.0, 460.0, 350.0), 0.8))
    now.confidences[0, 2:] = 0.1  # the lower ones are hidden
    assert gone_and_back(tracker, now) == [(0, 0)]
    track = tracker.tracks[0]
    tracker.update(track, now, 0, None)
    np.testing.assert_array_equal(track.keypoints, now.keypoints[0])
    assert (track.confidences[2:] < 0.2).all()


def test_pictures_that_are_minutes_apart(tracker: Tracker) -> None:
    seen = candidates((WHOLE, 0.8))
    track = tracker.begin(seen, 0, True)
    tracker.predict(1000.0)
    assert np.isfinite(tracker.box_from_pose(track, seen.keypoints[0], seen.confidences[0])).all()


def hidden_ones(seen: Candidates, rows: slice) -> Candidates:
    """The same people, of whom keypoints `rows` are not sure."""
    confidences = seen.confidences.copy()
    confidences[:, rows] = 0.05
    return replace(seen, confidences=confidences)


def six(box: tuple[float, float, float, float]) -> Candidates:
    """Somebody with four keypoints above the middle and two at the feet, 20 px above the box's end."""
    x1, y1, x2, y2 = box
    middle, feet = (y1 + y2) / 2, y2 - 20
    points = [(x1, y1), (x2, y1), (x1, middle), (x2, middle), (x1, feet), (x2, feet)]
    sure = np.full((1, 6), 0.9, np.float32)
    return Candidates(
        np.array([box], np.float32),
        np.array([0.9], np.float32),
        np.array([points], np.float32),
        sure,
        sure,
        np.full((1, PARTS, 3), np.nan, np.float32),
    )


def carry_on(tracker: Tracker, seen: Candidates, frames: int) -> np.ndarray:
    """(4,) where the only track's box is after so many frames without a detection."""
    track = tracker.tracks[0]
    for frame in range(1, frames + 1):
        tracker.predict(frame / 30)
        box = tracker.box_from_pose(track, seen.keypoints[0], seen.confidences[0])
        tracker.update(track, seen, 0, box)
    return track.motion.box


def test_a_box_stays_where_legs_are_hidden() -> None:
    tracker = Tracker(np.full(6, 0.05, np.float32), Tracking())
    tracker.image_size = (640, 480)
    tracker.predict(0.0)
    seen = six(WHOLE)
    tracker.begin(seen, 0, True)
    box = carry_on(tracker, hidden_ones(seen, slice(4, 6)), 15)
    np.testing.assert_allclose(box, WHOLE, atol=1)


def test_a_box_grows_by_legs_that_come_in() -> None:
    tracker = Tracker(np.full(6, 0.05, np.float32), Tracking())
    tracker.image_size = (640, 480)
    tracker.predict(0.0)
    seen = six(WHOLE)
    upper = hidden_ones(seen, slice(4, 6))
    upper.boxes[0, 3] = 230  # cut off by a table
    tracker.begin(upper, 0, True)
    box = carry_on(tracker, seen, 15)
    np.testing.assert_allclose(box[:3], WHOLE[:3], atol=11)
    assert 310 < box[3] < 340  # the feet are at 330


def test_few_sure_keypoints_make_no_box() -> None:
    row = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32)
    assert not is_framed(row)
    assert is_framed(np.where(np.arange(9) == 4, 0.3, row))
    assert not is_framed(row[1:6])  # two of five
    assert is_framed(row[:5])


@pytest.mark.parametrize(
    ("threshold", "scores"),
    [(None, (0.5, 0.45, 0.15)), (0.1, (0.5, 0.1, 0.1)), (0.9, (0.9, 0.9, 0.15)), (1, (1, 1, 0.15))],
)
def test_a_threshold_is_for_newcomers(threshold: float | None, scores: tuple[float, float, float]) -> None:
    made = Tracking.from_threshold(threshold)
    assert (made.sure_score, made.new_score, made.keep_score) == scores
    assert replace(made, sure_score=0.5, new_score=0.45, keep_score=0.15) == Tracking()
