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


def test_many_long_names_leave_the_plot_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand beneath it, whole, and a number says which point is whose: colours come again."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    long = "trained-on-everything.onnx, openvino, fp32, 2 threads, batch 16, 8 persons, of $3 and $\\x$"
    report = content(**{f"model-{i}-{long}": {ALL: 0.4 + 0.01 * i} for i in range(12)})
    drawn: list[Any] = []
    save = figure.savefig
    monkeypatch.setattr(figure, "savefig", lambda self, *a, **k: (save(self, *a, **k), drawn.append(self)))
    picture(report)
    [axes], [legend] = drawn[0].axes, drawn[0].legends
    room, names = axes.get_window_extent(), legend.get_window_extent()
    assert room.width > 0.8 * drawn[0].bbox.width
    assert room.height > 200
    assert 0 <= names.y0 < names.y1 <= room.y0
    assert names.x1 <= drawn[0].bbox.width
    assert [mark.get_text() for mark in axes.texts] == [str(i) for i in range(1, 13)]
    told = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert told == [f"{i} {r['name']}" for i, r in enumerate(report["reports"], 1)]


def test_titles_stand_over_their_columns() -> None:
    """Words at the left, numbers at the right, a title as its cells."""
    text = page(content(a={ALL: 0.4}))
    assert "<th class=words>candidate</th><th class=words>step</th><th>mean</th>" in text
    assert "<td class=words>a</td><td class=words>bare engine</td><td>8.500</td>" in text
    assert "<td class=words>RTMPose-t</td>" in text
    assert "nth-child" not in text
