"""The network's time over batch sizes and precisions."""

from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.batches import app, times
from rtmpose_sdk.runtimes.base import TensorSpec
from rtmpose_sdk.zoo import DEFAULT_POSE


class Counted:
    """A runtime that takes half a millisecond a crop, by its own events."""

    def __init__(self, has_events: bool) -> None:
        self.inputs = (TensorSpec("image", "uint8", (None, 4, 3, 3)),)
        self.has_events, self.seen, self.calls = has_events, [], 0

    def bare(self, crops: np.ndarray) -> Any:
        self.seen.append(crops)

        def call() -> None:
            self.calls += 1

        return call

    def by_events(self, crops: np.ndarray) -> Any:
        return (lambda: 0.0005 * len(crops)) if self.has_events else None


def test_events_of_a_gpu_are_its_clock() -> None:
    plain, gpu = Counted(False), Counted(True)
    found = times([plain, gpu], 8, 1, 3)  # type: ignore[list-item]
    assert found[0].p50 != pytest.approx(4)
    assert found[1].p50 == pytest.approx(4)
    assert plain.calls == 1 + 3
    assert plain.seen[0].shape == (8, 4, 3, 3)
    assert plain.seen[0].dtype == np.uint8
    assert [took.runs for took in found] == [3, 3]


def test_a_row_for_each_batch_and_arithmetic() -> None:
    arguments = ["--engine", "openvino", "--precision", "fp32", "--precision", "fp32"]
    arguments += ["--batch", "1", "--batch", "3", "--warm-up", "0", "--runs", "2"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    rows = [line.split("│")[1:-1] for line in done.output.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert [(row[0], row[1]) for row in cells] == [(size, "fp32") for size in ("1", "1", "3", "3")]
    assert all(row[-1] == "1.00" for row in cells[::2])
    for size, row in zip((1, 1, 3, 3), cells, strict=True):
        assert float(row[4]) == pytest.approx(float(row[2]) / size, abs=1e-3)
    assert DEFAULT_POSE in done.output
    assert "openvino" in done.output.lower()


def test_an_unknown_engine_is_named() -> None:
    done = CliRunner().invoke(app, ["--engine", "tarot", "--runs", "1"])
    assert "tarot" in str(done.exception)
