"""`rtmpose-bench --paper`: the paper's rows, and the ratios that should hold on any machine."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk import Detector, Predictor
from rtmpose_sdk.benchmarks import paper
from rtmpose_sdk.benchmarks.cli import app
from rtmpose_sdk.benchmarks.latency import summarize
from rtmpose_sdk.benchmarks.report_html import paper_page
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.untrained import export_untrained
from rtmpose_sdk.zoo import find_model

Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def untrained(once: Once) -> Path:
    """RTMPose-t with random weights."""
    return once(
        "untrained-rtmpose-t",
        lambda folder: export_untrained("rtmpose-t", "coco17", (192, 256), folder / "t.onnx"),
    ).joinpath("t.onnx")


def test_rows_are_the_papers() -> None:
    rows = paper.rows()
    tables = [row.table.split(",")[0] for row in rows]
    assert [tables.count(name) for name in ("Table 8", "Table 10", "Table 11")] == [7, 4, 4]
    assert {row.network for row in rows} == {
        *(paper.Network(f"rtmpose-{size}", "coco17", (192, 256)) for size in "tsml"),
        *(paper.Network(f"rtmpose-{size}", "coco_wholebody133", (192, 256)) for size in "ml"),
        paper.Network("rtmpose-l", "coco_wholebody133", (288, 384)),
    }
    last = rows[-1]
    assert (last.whole, last.paper) == (True, {"CPU ms": 36.311, "GPU ms": 4.644, "mobile ms": 47.642})


def test_ratios_are_to_rtmpose_m_of_the_same_table() -> None:
    # A machine that takes twice the paper's CPU time has the paper's ratios.
    rows = [row for row in paper.rows() if "CPU ms" in row.paper]
    found = {row.step: summarize([2e6 * row.paper["CPU ms"]]) for row in rows}
    compared = paper.compare_rows(found)
    for row in compared:
        if "CPU ms" in row["paper ms"]:
            assert row["ratio"] == pytest.approx(row["paper ratio"]["CPU ms"])
    whole_body = next(row for row in compared if row["row"] == "RTMPose-m 256x192 COCO-WholeBody")
    assert whole_body["ratio"] == pytest.approx(13.496 / 11.06)
    assert whole_body["ms"]["p50"] == pytest.approx(26.992)
    text = paper.markdown(compared)
    assert text.count("## Table") == len(paper.tables(compared)) == 3
    assert "| RTMPose-t 256x192 | 24.81 | 0.47 | 12.403 | 0.47 | 2.467 | 0.57 | 18.78 | 0.58 |" in text


def test_untrained_networks_are_timed(untrained: Path, photo: np.ndarray) -> None:
    with Predictor(untrained, threads=1) as t, Detector("rtmdet-nano-own", threads=1) as detector:
        assert len(t(photo, [[90, 5, 360, 500]])) == 1
        every = defaultdict(lambda: t)
        found = paper.time_rows(every, detector, photo, (90, 5, 360, 500), 0, 2)
    assert {row.step for row in paper.rows()} == set(found)
    assert all(took.runs == 2 and took.p50 > 0 for took in found.values())


def test_what_paper_goes_without() -> None:
    words = ["--paper", "--persons", "4", "--threads", "1", "--threads", "2", "--peer", "rtmlib"]
    with pytest.raises(InputError, match="--peer, --persons, --threads"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_the_papers_page_holds_its_tables() -> None:
    rows = paper.rows()
    compared = paper.compare_rows({row.step: summarize([1e7]) for row in rows})
    text = paper_page(paper.cells(compared), ["engine <x>, threads 1"])
    assert text.count("<table>") == 3
    assert "<td class=words>RTMPose-l 384x288 COCO-WholeBody</td>" in text
    assert "engine &lt;x&gt;, threads 1" in text


def test_settings_hold_for_the_detector_and_opencv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, untrained: Path, resized: Path
) -> None:
    """Times nothing: what is opened, and how, is looked at."""
    seen: dict[str, object] = {}

    def time_rows(predictors: dict, detector: Detector, *_: object) -> dict:
        seen["opencv"] = cv2.getNumThreads()
        seen["precision"] = detector.runtime.precision
        seen["size"] = detector.card.input_size
        return {row.step: summarize([1e7]) for row in paper.rows()}

    def copied(*arguments: object) -> None:
        shutil.copy(untrained, arguments[-1])

    def resized_before(*arguments: object) -> None:
        assert arguments[:2] == (find_model("rtmdet-nano-own"), (320, 320))
        shutil.copy(resized, arguments[2])

    monkeypatch.setattr("rtmpose_sdk.benchmarks.paper.time_rows", time_rows)
    monkeypatch.setattr("rtmpose_sdk.exporters.untrained.export_untrained", copied)
    monkeypatch.setattr("rtmpose_sdk.exporters.resize.export_resized", resized_before)
    before = cv2.getNumThreads()
    words = ["--paper", "--threads", "1", "--engine", "openvino", "--precision", "fp32"]
    try:
        cv2.setNumThreads(2)
        done = CliRunner().invoke(app, [*words, "--html", str(tmp_path / "p.html")], catch_exceptions=False)
    finally:
        cv2.setNumThreads(before)
    assert done.exit_code == 0, done.output
    assert seen == {"opencv": 1, "precision": "fp32", "size": (320, 320)}
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
