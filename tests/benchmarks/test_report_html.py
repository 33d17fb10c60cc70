"""The plot of speed and accuracy: APs of one kind, named, and every point inside."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rtmpose_sdk.benchmarks.latency import summarize
from rtmpose_sdk.benchmarks.report_html import page, picture, points, shared_ap

ALL, FEW, BOXES = (f"val AP ({how})" for how in ("all, 212 pictures", "all, 2 pictures", "boxes of d"))


def content(**cards: dict[str, float]) -> dict[str, Any]:
    took = {name: summarize([8e6, 9e6]).as_dict() for name in ("bare engine", "predictor")}
    about = {"size MB": 1, "load ms": 1, "multiply-adds": None}
    return {
        "machine": {"processor": "Abacus 3"},
        "peak memory MB": None,
        "noise warning": "",
        "reports": [
            {
                "name": name,
                "setting": {"detector": None, "persons": 1},
                "artifact": {**about, "accuracy": accuracy},
                "ms": took,
            }
            for name, accuracy in cards.items()
        ],
    }


def test_only_aps_of_one_name_are_plotted() -> None:
    mixed = content(a={FEW: 0.9, ALL: 0.4}, b={ALL: 0.5}, c={BOXES: 0.3}, d={})
    assert shared_ap(mixed) == ALL
    assert [(name, ap) for name, _, ap in points(mixed)] == [("a", 0.4), ("b", 0.5)]
    text = page(mixed)
    assert text.count("<circle") == 2
    assert f"y=14>{ALL}</text>" in text
    assert f"<li>b: 8.5 ms, {ALL} 0.500</li>" in text
    assert f"Not plotted, without {ALL} in the card: c; d</p>" in text
    assert shared_ap(content(d={})) is None
    assert "No model here has an AP" in page(content(d={}))


@pytest.mark.parametrize("ap", [0.0, 0.416, 1.0])
def test_every_point_is_inside(ap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    report = content(a={ALL: ap}, b={ALL: ap / 2})
    for x, y in re.findall(r"<circle cx=([\d.]+) cy=([\d.]+) r=5", page(report)):
        assert 50 <= float(x) < 690
        assert 5 < float(y) <= 310
    figure = pytest.importorskip("matplotlib.figure").Figure
    drawn: list[Any] = []
    save = figure.savefig
    monkeypatch.setattr(figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    assert picture(report).startswith(b"\x89PNG")
    [axes] = drawn[0].axes
    assert axes.get_ylabel().replace("\n", " ") == ALL
    assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 0)
    assert axes.get_xlim()[1] > 1.05 * 8.5
    assert axes.get_ylim()[1] > 1.05 * ap
