"""PCK, AUC and NME of distances that are known."""

from __future__ import annotations

import numpy as np
import pytest

from rtmpose_sdk.benchmarks.matched import Matched
from rtmpose_sdk.benchmarks.metrics.auc import auc
from rtmpose_sdk.benchmarks.metrics.distances import between, box_sides, distances
from rtmpose_sdk.benchmarks.metrics.nme import nme
from rtmpose_sdk.benchmarks.metrics.pck import pck
from rtmpose_sdk.benchmarks.metrics.pckh import pckh
from rtmpose_sdk.keypoint_sets import get_keypoint_set

TRUTH = np.array([[0, 0], [30, 40], [9, 9]], np.float32)


def _person(found: np.ndarray, labelled: tuple[bool, ...] = (True, True, False)) -> Matched:
    nothing = np.zeros(3, np.float32)
    box = np.array([0, 0, 40, 100], np.float32)
    return Matched({}, box, TRUTH, np.array(labelled), found, nothing, nothing, 63.0)


def test_known_distances() -> None:
    off = TRUTH + np.array([[3, 4], [0, 30], [99, 99]], np.float32)  # 5 px, 30 px, not labelled
    persons = [_person(off), _person(np.full((3, 2), np.nan, np.float32))]
    errors = distances(persons)
    assert errors.tolist() == [5, 30, np.inf, np.inf]
    assert box_sides(persons).tolist() == [100] * 4
    assert between(persons, 0, 1).tolist() == [50] * 4
    assert np.isnan(between(persons, 0, 2)).all()
    assert pck(errors, box_sides(persons)) == 0.25
    assert pck(errors, box_sides(persons), 0.3) == 0.5
    assert nme(errors, between(persons, 0, 1)) == pytest.approx((0.1 + 0.6) / 2)
    assert np.isnan(nme(errors, between(persons, 0, 2)))


def test_auc_is_the_area_under_the_steps() -> None:
    assert auc(np.array([0.0])) == pytest.approx(19 / 20)  # not below 0
    assert auc(np.array([15.0])) == pytest.approx(9 / 20)  # thresholds 16.5, 18, ... 28.5
    assert auc(np.array([np.inf])) == 0
    assert np.isnan(auc(np.empty(0)))


def test_pckh_of_a_joint_that_one_side_has() -> None:
    names = get_keypoint_set("mpii16").names
    labelled = np.ones((2, len(names)), bool)
    labelled[:, names.index("left_wrist")] = False
    labelled[:, [names.index("left_knee"), names.index("right_knee")]] = False
    figures = pckh(np.zeros((2, len(names))), labelled, np.ones(2), names)
    assert figures["PCKh@0.5"] == figures["PCKh@0.5 wrist"] == 1
    assert np.isnan(figures["PCKh@0.5 knee"])
