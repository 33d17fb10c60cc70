"""The report of `rtmpose-bench`: baselines, pages, counts, and what an interruption leaves."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks import stages
from rtmpose_sdk.benchmarks.baseline import compare, parse_percent, read_baseline
from rtmpose_sdk.benchmarks.candidates import choices, crowd
from rtmpose_sdk.benchmarks.cli import app
from rtmpose_sdk.benchmarks.latency import measure, summarize
from rtmpose_sdk.benchmarks.machine import machine_record, peak_gflops
from rtmpose_sdk.benchmarks.multiply_adds import multiply_adds
from rtmpose_sdk.benchmarks.peers import mmdeploy, open_peer
from rtmpose_sdk.benchmarks.persons import fit
from rtmpose_sdk.benchmarks.report_content import report_content
from rtmpose_sdk.benchmarks.report_html import ap_of, page, paper_tables, points
from rtmpose_sdk.benchmarks.report_text import artifact_line, markdown, persons_lines, share_lines
from rtmpose_sdk.benchmarks.stages import SkippedFrames, track_steps
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.zoo import DEFAULT_POSE, find_model


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real report of two candidates."""
    folder = tmp_path_factory.mktemp("bench")
    arguments = ["--threads", "1", "--persons", "1", "--persons", "3", "--batch", "2"]
    files = ["--json", f"{folder}/b.json", "--html", f"{folder}/b.html", "--png", f"{folder}/b.png"]
    done = CliRunner().invoke(app, [*arguments, "--warm-up", "1", "--runs", "3", *files])
    assert done.exit_code == 0, done.output
    assert (folder / "b.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "b.html").stat().st_size > 1000
    return {**read_baseline(folder / "b.json"), "file": str(folder / "b.json")}


def test_lists_are_multiplied() -> None:
    found = list(choices(["a", "b"], [], ["fp32"], [1, 2], [], [1, 4]))
    assert len(found) == len(set(found)) == 8
    assert found[0].engine is None


def test_two_outputs_in_one_file_are_refused(tmp_path: Path) -> None:
    both = ["--json", f"{tmp_path}/x", "--html", f"{tmp_path}/../{tmp_path.name}/x"]
    with pytest.raises(OutputError, match="--json and --html would both be written there"):
        CliRunner().invoke(app, both, catch_exceptions=False)


def test_a_crowd_holds_everybody_whole() -> None:
    shot = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    scene, boxes = crowd(shot, (1, 1, 4, 3), 5)
    assert scene.shape == (8, 15, 3)
    for x1, y1, x2, y2 in boxes.astype(int):
        np.testing.assert_array_equal(scene[y1:y2, x1:x2], shot[1:3, 1:4])
    assert len({tuple(box) for box in boxes.tolist()}) == 5


def test_the_json_has_what_is_documented(content: dict[str, Any]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text("utf-8")
    [told] = [part for part in text.split("\n- ") if part.startswith("The JSON holds")]
    written = set(content) - {"file"} | set(content["reports"][0])
    assert written == set(re.findall(r"`([^`]+)`", told))


def test_report_tells_what_was_measured(content: dict[str, Any]) -> None:
    one, three = content["reports"]
    assert (one["setting"]["persons"], three["setting"]["persons"]) == (1, 3)
    assert three["artifact"]["multiply-adds"] == 3 * one["artifact"]["multiply-adds"]
    assert one["artifact"]["size MB"] == pytest.approx(find_model(DEFAULT_POSE).stat().st_size / 1e6)
    assert one["artifact"]["GFLOP/s"] > 0
    figures = one["ms"]["bare engine"]
    assert figures["min"] <= figures["p50"] <= figures["p90"]
    assert figures["runs"] == 3
    assert figures["cpu"] > 0


def test_multiply_adds_are_the_papers() -> None:
    found = multiply_adds(find_model(DEFAULT_POSE))
    assert found is not None
    assert found / 1e9 == pytest.approx(0.36, abs=0.01)


def test_multiply_adds_of_transposed_convolutions(tmp_path: Path) -> None:
    """Each of 5x7 inputs of 8 channels meets a kernel of 4x4 for each of 6 channels."""
    onnx = pytest.importorskip("onnx")
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    kernel = onnx.numpy_helper.from_array(np.zeros((8, 6, 4, 4), np.float32), "w")
    graph = onnx.helper.make_graph(
        [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])],
        "g",
        [value("x", 1, [1, 8, 5, 7])],
        [value("y", 1, [1, 6, 10, 14])],
        [kernel],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    assert multiply_adds(tmp_path / "m.onnx") == 5 * 7 * 8 * 6 * 16


def test_the_page_asks_nothing_of_the_network(content: dict[str, Any]) -> None:
    hostile = copy.deepcopy(content)
    hostile["reports"][0]["name"] = "<script>x</script>"
    hostile["reports"][0]["artifact"]["accuracy"] = {"AP": 0.276}
    text = page(hostile)
    assert not re.search(r"https?://|src=|href=|@import|url\(", text)
    assert "<script>x" not in text
    assert text.count("<circle") == len(points(hostile))
    HTMLParser().feed(text)
    assert markdown(content).count("| bare engine |") == 2


def test_every_report_names_what_was_run(content: dict[str, Any]) -> None:
    told = copy.deepcopy(content)
    told["left out"] = ["b.param, openvino: does not read"]
    told["reports"][0]["ms"] |= {
        name: {**told["reports"][0]["ms"]["draw"]} for name in ("pipeline", "peer x")
    }
    told["reports"][0]["ms"]["pipeline"]["p50"] = told["reports"][0]["ms"]["peer x"]["p50"] / 2
    for text in (markdown(told), page(told)):
        for words in (
            f"engine {told['reports'][0]['setting']['engine']}, device cpu",
            "threads 1, batch 2",
            "of the predictor&#x27;s time" if text.startswith("<") else "of the predictor's time",
            "peer x: 2.000 x the time of pipeline",
            f"peak resident memory, all candidates: {told['peak memory MB']:.0f} MB",
            "left out: b.param, openvino: does not read",
        ):
            assert words in text, words


def test_the_cpus_peak_says_nothing_of_a_gpu(content: dict[str, Any]) -> None:
    report = copy.deepcopy(content["reports"][0])
    assert "of a matrix product's" in artifact_line(report)
    report["artifact"]["peak GFLOP/s"] = None
    assert artifact_line(report).endswith("GFLOP/s")


def test_impossible_combinations_are_skipped(tmp_path: Path) -> None:
    words = ["--threads", "1", "--warm-up", "0", "--runs", "1"]
    both = [*words, "--engine", "onnxruntime", "--engine", "ncnn", "--json", str(tmp_path / "b.json")]
    done = CliRunner().invoke(app, both, env={"COLUMNS": "300"}, catch_exceptions=False)
    assert done.exit_code == 0
    assert "left out: rtmpose-t-own, ncnn, 1 thread, 1 person: engine 'ncnn' does not read" in done.output
    found = read_baseline(tmp_path / "b.json")
    assert [r["setting"]["engine"].split()[0] for r in found["reports"]] == ["onnxruntime"]
    assert len(found["left out"]) == 1
    with pytest.raises(InputError, match=r"none of the 2 combinations can be had: .*'ncnn'.*'torch'"):
        CliRunner().invoke(app, [*words, "--engine", "ncnn", "--engine", "torch"], catch_exceptions=False)
    with pytest.raises(InputError, match=r"^engine 'ncnn' does not read"):
        CliRunner().invoke(app, [*words, "--engine", "ncnn"], catch_exceptions=False)


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    words = ["--threads", "1", "--warm-up", "0", "--runs", "2", "--json", str(tmp_path / "b.json")]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        words += ["--pose", shutil.copy(find_model(DEFAULT_POSE), tmp_path / folder / "model.onnx")]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    found = read_baseline(tmp_path / "b.json")
    assert {r["setting"]["pose"] for r in found["reports"]} == {"rtmpose-t (model.onnx)"}
    assert [r["setting"]["file"] for r in found["reports"]] == ["one/model.onnx", "two/model.onnx"]
    assert {c.candidate.split(",")[0] for c in compare(found, found)} == {
        "one/model.onnx",
        "two/model.onnx",
    }


def test_a_report_against_itself_has_not_changed(content: dict[str, Any]) -> None:
    twice = copy.deepcopy(content)
    twice["reports"] += copy.deepcopy(content["reports"])  # as older reports have models of one file name
    for figures in twice["reports"][-1]["ms"].values():
        figures["p50"] *= 3
    changes = compare(twice, twice)
    assert len(changes) == sum(len(r["ms"]) for r in twice["reports"])
    assert {c.slower for c in changes} == {0}


def test_skipped_frames_are_compared_by_their_mean(content: dict[str, Any]) -> None:
    new, old = copy.deepcopy(content), copy.deepcopy(content)
    for side, mean in ((new, 12.0), (old, 10.0)):
        figures = {**side["reports"][0]["ms"]["draw"], "p50": 5.0, "mean": mean}
        side["reports"][0]["ms"]["pipeline, detection every 5"] = figures
    [change] = [c for c in compare(new, old) if c.slower]
    assert (change.step, change.figure) == ("pipeline, detection every 5", "mean")
    assert change.slower == pytest.approx(0.2)


def test_the_papers_rows_hold_its_ratios() -> None:
    tables = paper_tables()["tables"]
    assert all(len(row) == len(t["columns"]) for t in tables for row in t["rows"])
    body = {row[0]: row[5] for row in tables[0]["rows"] if row[1] == "COCO"}
    assert body["RTMPose-m"] / body["RTMPose-t"] == pytest.approx(3.45, abs=0.01)


def test_a_regression_fails(content: dict[str, Any], tmp_path: Path) -> None:
    fast = copy.deepcopy(content)
    for figures in fast["reports"][0]["ms"].values():
        figures["p50"] /= 2
    slower = [c.slower for c in compare(content, fast)]
    assert max(slower) == pytest.approx(1.0)
    assert min(slower) == pytest.approx(0.0)
    fast["reports"][0]["ms"]["network"]["p50"] = 1e-6
    (tmp_path / "old.json").write_text(json.dumps(fast))
    arguments = ["--threads", "1", "--batch", "2", "--warm-up", "0", "--runs", "1"]
    done = CliRunner().invoke(app, [*arguments, "--compare", str(tmp_path / "old.json")])
    assert done.exit_code == 1
    assert "slower than the baseline by more than 5.0%" in str(done.exception)


def test_another_machines_baseline_is_refused(content: dict[str, Any]) -> None:
    other = copy.deepcopy(content)
    other["machine"]["processor"] = "Abacus 3"
    with pytest.raises(InputError, match=r"Abacus 3.*--force"):
        compare(content, other)
    assert compare(content, other, force=True)


def test_a_baseline_of_other_models_is_refused(content: dict[str, Any]) -> None:
    other = copy.deepcopy(content)
    for report in other["reports"]:
        report["setting"]["threads"] = 77
    with pytest.raises(InputError, match="nothing that is measured now"):
        compare(content, other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rtmpose_bench": 99}', "\x00"])
def test_files_that_are_no_baseline(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InputError, match=r"b\.json"):
        read_baseline(tmp_path / "b.json")


def test_percentages() -> None:
    assert parse_percent("5%") == parse_percent("5") == 0.05
    for text in ("-1%", "fast", "nan", "inf"):
        with pytest.raises(InputError, match="percentage"):
            parse_percent(text)


def test_an_interrupted_run_keeps_what_was_measured() -> None:
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt

    assert measure({"a": step}, warm_up=2, runs=100)["a"].runs == 7
    calls = 8
    with pytest.raises(KeyboardInterrupt):
        measure({"a": step}, warm_up=50, runs=100)


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path, started: Callable) -> None:
    report = tmp_path / "r.json"
    bench = Path(sys.executable).with_name("rtmpose-bench")
    words = ["--threads", "1", "--warm-up", "0", "--runs", "100000", "--json", report]
    terminal = os.environ | {
        "TTY_COMPATIBLE": "1",
        "TTY_INTERACTIVE": "1",
    }  # rich draws its bar into the pipe
    process = started(
        [bench, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=terminal
    )
    assert process.stderr is not None
    shown, end = "", time.monotonic() + 120
    while not re.search(r"[1-9]\d*/100000", shown):
        assert time.monotonic() < end
        read = os.read(process.stderr.fileno(), 4096).decode(errors="replace")
        assert read, shown  # the end of the file: it has stopped
        shown += read
    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    runs = json.loads(report.read_text())["reports"][0]["setting"]["runs"]
    assert 0 < runs < 100000
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    assert f"runs {runs}" in plain.replace("\n", " ")


def test_the_machine_is_described() -> None:
    record = machine_record()
    assert record["processor"]
    assert "numpy" in record["engines"]
    assert peak_gflops(1, 0.05) > 0.1


def test_peers_say_what_they_need(detector_folder: Path) -> None:
    with Pipeline(detector=None, threads=1) as pipeline, pytest.raises(InputError, match="--detector"):
        open_peer("rtmlib", pipeline)
    with Pipeline(detector=detector_folder, threads=1) as pipeline:
        with pytest.raises(InputError, match="expected rtmlib, mmdeploy"):
            open_peer("openpose", pipeline)
        pytest.importorskip("rtmlib")
        with pytest.raises(InputError, match="--input tensor"):
            open_peer("rtmlib", pipeline)


@pytest.mark.parametrize("name", ["rtmlib=x", "mmdeploy=x", "rtmlib="])
def test_peers_of_our_files_take_no_other(name: str) -> None:
    with (
        Pipeline(detector=None, threads=1) as pipeline,
        pytest.raises(InputError, match="takes no file, it runs those of --pose and --detector"),
    ):
        open_peer(name, pipeline)


@pytest.mark.parametrize(("cores", "allowed"), [(8, 1), (1, 2), (8, 8)])
def test_mmdeploy_has_a_thread_for_each_core_of_the_system(
    monkeypatch: pytest.MonkeyPatch, cores: int, allowed: int
) -> None:
    monkeypatch.setitem(sys.modules, "mmdeploy_runtime", ModuleType("mmdeploy_runtime"))
    monkeypatch.setattr(mmdeploy.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(mmdeploy, "allowed_cores", lambda: allowed)
    with (
        Pipeline(threads=1) as pipeline,
        pytest.raises(InputError, match=rf"cores \({cores}\).*--threads is 1\. docs/benchmarks\.md"),
    ):
        open_peer("mmdeploy", pipeline)


def test_skipped_frames_weigh_as_in_a_long_video(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 ms of detection every 5 frames, 5 ms of pose: 9 ms a frame, whichever frames were measured."""
    now = 0
    for clock in ("perf_counter_ns", "process_time_ns"):
        monkeypatch.setattr(stages.time, clock, lambda: now)
    for warm_up, runs in ((1, 4), (2, 3), (0, 1), (1, 8), (5, 10)):
        frames = 0

        def stream(_image: np.ndarray, _time: float) -> None:
            nonlocal now, frames
            now += 5_000_000 + 20_000_000 * (frames % 5 == 0)
            frames += 1

        step = SkippedFrames(stream, np.zeros((1, 1, 3), np.uint8), 5)
        measured = measure({"step": step}, warm_up, runs)["step"]
        found = step.weighed(measured)
        assert (found.mean, found.cpu) == pytest.approx((9.0, 9.0))
        assert found.fps == pytest.approx(1000 / 9)
        assert (found.p50, found.runs) == (measured.p50, runs)


def test_tracks_are_timed_on_their_own(photo: np.ndarray) -> None:
    with Pipeline(threads=1) as pipeline:
        steps = track_steps(pipeline, photo)
        assert set(steps) == {"track", "track and smooth"}
        for step in steps.values():
            results = [step() for _ in range(6)]
            assert len(results[-1].poses) >= 1
            assert results[-1].poses.track_ids is not None
            assert results[5].detected
            assert not results[4].detected
        assert track_steps(pipeline, np.zeros((64, 64, 3), np.uint8)) == {}


def test_shares_of_the_engine() -> None:
    took = {"bare engine": 8, "predictor": 10, "detector, bare engine": 9, "pipeline": 20}
    report = {"ms": {k: {"p50": v} for k, v in took.items()}, "setting": {"persons": 1, "persons found": 1}}
    assert share_lines(report) == [
        "network: 80.0% of the predictor's time",
        "networks: 85.0% of the pipeline's time",
    ]
    report["setting"]["persons found"] = 3  # other persons than those of the bare call
    assert len(share_lines(report)) == 1


def test_what_a_pipeline_was_timed_on_is_said() -> None:
    """A pipeline that finds nobody is fast."""
    setting = {
        "persons": 2,
        "persons found": 0,
        "persons found by rtmlib": 3,
        "persons found by mmdeploy": 2,
    }
    assert persons_lines({"setting": setting}) == [
        "pipeline: finds 0 persons in this picture, and is timed on these, not on 2",
        "peer rtmlib: finds 3 persons in this picture, and is timed on these, not on 2",
    ]
    assert persons_lines({"setting": {"persons": 1, "persons found": 1}}) == []
    assert persons_lines({"setting": {"persons": 1}}) == []


@pytest.mark.parametrize(
    ("runs", "jumps", "warnings"),
    [
        (20, "", []),
        (20, "bare engine", ["noisy machine"]),
        (20, "detector, bare engine", ["noisy machine"]),
        (3, "", ["3 measured runs"]),
        (3, "bare engine", ["noisy machine", "3 measured runs"]),
    ],
)
def test_noise_of_either_engine_is_said(runs: int, jumps: str, warnings: list[str]) -> None:
    """And that a few runs cannot tell it."""
    artifact, setting = {"multiply-adds": None}, {"device": "cuda:0"}
    found = {
        name: summarize([5e6 + (4e6 if name == jumps and i % 3 == 0 else 0) for i in range(runs)])
        for name in ("bare engine", "detector, bare engine")
    }
    candidate: Any = SimpleNamespace(name="a", artifact=artifact, setting=setting)
    said = report_content({}, [candidate], [found], {})["noise warning"]
    assert re.findall(r"noisy machine|\d+ measured runs", said) == warnings


def test_the_line_through_persons() -> None:
    line = fit((1, 2, 4, 8), [5.0, 8.0, 14.0, 26.0])
    assert line == pytest.approx((2, 3, 1))
    assert fit((1, 2, 4, 8), [5.0, 9.0, 13.0, 27.0]).explained < 0.999


PEER_FILES = {
    "movenet": "movenet/movenet_single_pose_lightning_ptq.tflite",
    "blazepose": "blazepose/pose_landmark_lite.tflite",
    "picodet": "picodet/picodet_s_320_lcnet_pedestrian.xml",
}


def _peer(name: str, shared: Path, photo: np.ndarray) -> np.ndarray:
    pytest.importorskip("openvino" if name == "picodet" else "ai_edge_litert", reason="peer not installed")
    with Pipeline(detector=None, threads=1) as pipeline:
        peer = open_peer(f"{name}={shared / 'weights' / PEER_FILES[name]}", pipeline)
        assert peer.version.split()[1][0].isdigit()
        return peer(photo)


@pytest.mark.parametrize(("name", "eyes"), [("movenet", (1, 2)), ("blazepose", (2, 5))])
def test_peers_with_files_find_the_face(
    shared: Path, photo: np.ndarray, name: str, eyes: tuple[int, int]
) -> None:
    face = photo[
        :330, 60:390
    ]  # the part of the photograph that they are made for: near, upright, one person
    [found] = _peer(name, shared, np.ascontiguousarray(face)) + np.float32([60, 0])
    truth = {"nose": (226, 122), "left": (248, 105), "right": (206, 103)}
    for index, key in ((0, "nose"), (eyes[0], "left"), (eyes[1], "right")):
        assert np.hypot(*(found[index] - truth[key])) < 20, (key, found[index])


def test_picodet_finds_the_astronaut(shared: Path, photo: np.ndarray) -> None:
    boxes = _peer("picodet", shared, photo)
    assert any(abs(box - [5, 11, 366, 512]).max() < 60 for box in boxes)


def test_peers_with_files_say_what_is_wrong(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="peer not installed")
    (tmp_path / "cut.tflite").write_bytes((shared / "weights" / PEER_FILES["movenet"]).read_bytes()[:900])
    for name, message in (
        ("movenet", "--peer movenet=FILE"),
        (f"movenet={tmp_path / 'none.tflite'}", "no such file; expected MoveNet's"),
        (f"movenet={tmp_path / 'cut.tflite'}", "LiteRT cannot open it"),
        (f"movenet={shared / 'weights' / PEER_FILES['blazepose']}", "MoveNet takes uint8"),
        (f"picodet={shared / 'weights' / 'tinypose/256_192/model.xml'}", "expected a picture, boxes"),
        ("openpose=file", "expected rtmlib, mmdeploy, movenet=FILE"),
    ):
        with Pipeline(detector=None, threads=1) as pipeline, pytest.raises(InputError, match=message):
            open_peer(name, pipeline)


def test_the_ap_of_a_card() -> None:
    assert ap_of({"accuracy": {"PCK@0.1 (Body8)": 91.4, "AP (COCO)": 65.9}}) == pytest.approx(0.659)
    known = {"x AP50, boxes": 0.62, "x AP, boxes": 0.276}
    assert ap_of({"accuracy": known}) == 0.276
    assert ap_of({"accuracy": {}}) is None
    inherited = {"AP (COCO), of the fp32 model": 65.9}
    assert ap_of({"accuracy": inherited}) is None
    assert ap_of({"accuracy": inherited | {"AP, by the export": 0.65}}) == 0.65
