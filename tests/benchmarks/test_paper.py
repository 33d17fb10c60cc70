"""`rtmpose-bench --paper`: the paper's rows, and the ratios that should hold on any machine."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk import Detector, Predictor
from rtmpose_sdk.benchmarks import paper
from rtmpose_sdk.benchmarks.cli import app
from rtmpose_sdk.benchmarks.latency import summarize
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.untrained import export_untrained


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


def test_untrained_networks_are_timed(tmp_path: Path, photo: np.ndarray) -> None:
    export_untrained("rtmpose-t", "coco17", (192, 256), tmp_path / "t.onnx")
    with Predictor(tmp_path / "t.onnx", threads=1) as t, Detector("rtmdet-nano-own", threads=1) as detector:
        assert len(t(photo, [[90, 5, 360, 500]])) == 1
        every = defaultdict(lambda: t)
        found = paper.time_rows(every, detector, photo, (90, 5, 360, 500), 0, 2)
    assert {row.step for row in paper.rows()} == set(found)
    assert all(took.runs == 2 and took.p50 > 0 for took in found.values())


def test_what_paper_goes_without() -> None:
    words = ["--paper", "--persons", "4", "--threads", "1", "--threads", "2", "--peer", "rtmlib"]
    with pytest.raises(InputError, match="--peer, --persons, --threads"):
        CliRunner().invoke(app, words, catch_exceptions=False)
