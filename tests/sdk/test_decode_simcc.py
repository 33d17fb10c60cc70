"""SimCC outputs → keypoints, scores, confidences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtmpose_sdk.decode_simcc import decode_simcc
from rtmpose_sdk.errors import EngineError

values = st.floats(-3, 3, width=32)


@given(arrays(np.float32, (2, 3, 32), elements=values), arrays(np.float32, (2, 3, 48), elements=values))
def test_simcc_against_the_rule_written_out(x: np.ndarray, y: np.ndarray) -> None:
    found = decode_simcc(x, y, 2.0, 10.0)
    for n in range(2):
        for k in range(3):
            masses = []
            for axis, simcc in enumerate((x[n, k], y[n, k])):
                peak = int(np.argmax(simcc))
                assert found.keypoints[n, k, axis] == peak / 2
                odds = [math.exp(10.0 * (float(v) - float(simcc.max()))) for v in simcc]
                reach = math.ceil(2 * math.sqrt(len(simcc)) / 4)
                masses.append(sum(odds[max(peak - reach, 0) : peak + reach + 1]) / sum(odds))
            assert found.scores[n, k] == min(x[n, k].max(), y[n, k].max())
            assert found.confidences[n, k] == pytest.approx(min(masses), rel=1e-4)
    assert ((found.confidences >= 0) & (found.confidences <= 1)).all()


def test_a_trained_peak_is_confident_and_a_flat_output_is_not() -> None:
    bins = np.arange(384, dtype=np.float32)
    peak = np.exp(-((bins - 3) ** 2) / (2 * 4.9**2))[None, None]  # at the edge of the crop
    flat = np.zeros((1, 1, 384), np.float32)
    assert decode_simcc(peak, peak, 2.0, 10.0).confidences[0, 0] > 0.95
    assert decode_simcc(peak, flat, 2.0, 10.0).confidences[0, 0] < 0.06


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_numbers_raise(bad: float) -> None:
    x = np.zeros((1, 17, 384), np.float32)
    broken = x.copy()
    broken[0, 4, 7] = bad
    with pytest.raises(EngineError, match="NaN or infinity"):
        decode_simcc(x, broken, 2.0, 10.0)
