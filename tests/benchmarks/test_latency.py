"""The protocol's arithmetic and order, with steps that count themselves."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks import overhead
from rtmpose_sdk.benchmarks.latency import OwnClock, measure, summarize
from rtmpose_sdk.errors import InputError


@pytest.mark.parametrize("option", ["--runs", "--repeats", "--threads"])
def test_nothing_has_no_median(option: str) -> None:
    done = CliRunner().invoke(overhead.app, [option, "0"])
    assert done.exit_code == 2
    assert "nan" not in done.output


def test_figures_of_known_times() -> None:
    found = summarize([1_000_000] * 99 + [101_000_000])
    assert found.mean == pytest.approx(2.0)
    assert found.p50 == pytest.approx(1.0)
    assert found.p90 == pytest.approx(1.0)
    assert found.p99 > 1.0
    assert found.fps == pytest.approx(500.0)


def test_every_step_runs_equally_often_and_interleaved() -> None:
    order: list[str] = []
    found = measure({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, warm_up=3, runs=4)
    assert set(found) == {"a", "b"}
    assert order.count("a") == order.count("b") == 7
    pairs = ["".join(order[i : i + 2]) for i in range(0, 14, 2)]
    assert set(pairs) == {"ab", "ba"}


def test_a_step_may_have_a_clock_of_its_own() -> None:
    found = measure({"gpu": OwnClock(lambda: 0.25), "host": lambda: 0.25}, warm_up=0, runs=2)
    assert found["gpu"].p50 == pytest.approx(250.0)
    assert found["host"].p50 < 200


def test_no_runs_is_an_error() -> None:
    with pytest.raises(InputError, match="0 measured runs"):
        measure({"a": lambda: None}, runs=0)
