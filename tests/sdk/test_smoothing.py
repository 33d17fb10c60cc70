"""One-Euro on signals with known truth: calm at rest, quick in motion, at every frame rate and size."""

from __future__ import annotations

import numpy as np
import pytest

from rtmpose_sdk import Smoothing
from rtmpose_sdk.benchmarks.smoothing import jitter_left, swing_lag
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.smoothing import OneEuro

SURE = np.ones(1, np.float32)


def points(*xy: float) -> np.ndarray:
    return np.array([xy], np.float32)


@pytest.mark.parametrize("fps", [15, 30, 60])
@pytest.mark.parametrize("size", [60.0, 600.0])
def test_jitter_is_halved_and_a_swing_lags_little(fps: int, size: float) -> None:
    assert jitter_left(Smoothing(), fps, size) < 0.5
    assert swing_lag(Smoothing(), fps, size) < 0.040


def test_body_size_does_not_matter() -> None:
    near, far = (swing_lag(Smoothing(), 30, size) for size in (600.0, 60.0))
    assert near == pytest.approx(far, abs=0.002)


def test_a_doubtful_keypoint_neither_pulls_nor_jumps() -> None:
    smooth = OneEuro(Smoothing())
    for i in range(30):
        out = smooth(points(100, 50), SURE, i / 30, 200)
    for i in range(30, 36):
        out = smooth(points(900, 700), np.array([0.05], np.float32), i / 30, 200)
        np.testing.assert_allclose(out, [[100, 50]], atol=1e-3)
    out = smooth(points(100, 50), SURE, 36 / 30, 200)
    np.testing.assert_allclose(out, [[100, 50]], atol=1e-3)


def test_an_unseen_keypoint_goes_along_with_the_person_and_begins_anew_after_a_while() -> None:
    smooth = OneEuro(Smoothing())
    smooth(points(100, 50), SURE, 0.0, 200)
    for i in range(1, 31):
        out = smooth(points(0, 0), np.zeros(1, np.float32), i / 30, 200, np.array([60.0, 0.0]))
    np.testing.assert_allclose(out, [[160, 50]], atol=0.5)
    np.testing.assert_allclose(smooth(points(300, 80), SURE, 1.1, 200), [[300, 80]])


def test_time_must_go_on() -> None:
    smooth = OneEuro(Smoothing())
    smooth(points(0, 0), SURE, 1.0, 100)
    with pytest.raises(InputError, match="not after"):
        smooth(points(0, 0), SURE, 1.0, 100)
    with pytest.raises(InputError, match="cutoff"):
        Smoothing(min_cutoff=0)
