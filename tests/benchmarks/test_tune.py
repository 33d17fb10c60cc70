"""`rtmpose tune`: the search finds known optima, the profile holds only where it was measured."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rtmpose_sdk import Pipeline
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.agreement import disagreement
from rtmpose_sdk.benchmarks.halving import Point, choose, halve, halve_to_front, pareto
from rtmpose_sdk.benchmarks.tune import Job, Truth, _pair_losses, tune
from rtmpose_sdk.cli import tune as command
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.tune import _sizes
from rtmpose_sdk.errors import InputError, OutputError, RTMPoseError, VerificationError
from rtmpose_sdk.exporters.calibrate import calibration_images
from rtmpose_sdk.exporters.candidates import variants
from rtmpose_sdk.exporters.onnx import full_storage, half_storage, replace_card
from rtmpose_sdk.profile import engine_version, engine_versions, hashes, usable_profile
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, find_model

OWN = (("rtmpose-t-own", "pose"), ("rtmdet-nano-own", "detect"))
POINTS = st.dictionaries(
    st.text(min_size=1), st.builds(Point, st.floats(0, 100), st.floats(0, 100)), min_size=1
)


@given(POINTS)
def test_the_front_is_what_nothing_beats(points: dict[str, Point]) -> None:
    front = pareto(points)
    for name, (ms, loss) in points.items():
        beaten = any(
            p.ms <= ms and p.loss <= loss and (p.ms < ms or p.loss < loss) for p in points.values()
        )
        if name in front:
            assert not beaten
        else:
            assert any(points[f].ms <= ms and points[f].loss <= loss for f in front)


@given(POINTS, st.floats(0, 100), st.floats(0, 100))
def test_the_choice_keeps_the_limits(points: dict[str, Point], ms: float, loss: float) -> None:
    best = choose(points, ms, loss)
    able = [p for p in points.values() if p.ms <= ms and p.loss <= loss]
    assert (best is None) == (not able)
    if best is not None:
        assert points[best].ms == min(p.ms for p in able)
    accurate = choose(points, ms, None)
    if accurate is not None:
        assert points[accurate].loss == min(p.loss for p in points.values() if p.ms <= ms)


def test_halving_finds_the_fastest_and_spends_little_on_the_slow() -> None:
    calls = dict.fromkeys("abcdefgh", 0)

    def step(name: str, units: int):
        def work() -> None:
            calls[name] += 1
            end = time.perf_counter_ns() + units * 300_000
            while time.perf_counter_ns() < end:
                pass

        return work

    found = halve({name: step(name, i + 1) for i, name in enumerate("hgfedcba")}, keep=1)
    assert list(found) == ["h"]
    assert calls["a"] * 4 < calls["h"]


def test_disagreement_counts_missing_persons(photo: np.ndarray) -> None:
    with Pipeline(detector=None, threads=1) as pipeline:
        both = pipeline(photo, [[0, 0, 512, 512], [100, 100, 300, 500]])
        assert disagreement([both], [both]) == pytest.approx(0, abs=1e-6)
        assert disagreement([both], [both[0]]) == pytest.approx(0.5, abs=1e-6)
        assert disagreement([both[0]], [both]) == pytest.approx(0.5, abs=1e-6)
        assert disagreement([both[:0]], [both]) == 1
        assert disagreement([both[:0]], [both[:0]]) == 0


def test_weights_stored_as_half_come_back() -> None:
    stored = onnx.load(find_model("rtmpose-t-own"))
    full = full_storage(stored)
    assert not any(t.data_type == onnx.TensorProto.FLOAT16 for t in full.graph.initializer)
    again = half_storage(full)
    halves = {t.name: t.raw_data for t in stored.graph.initializer if t.name.endswith(".half")}
    assert halves
    assert {t.name: t.raw_data for t in again.graph.initializer if t.name in halves} == halves


@pytest.fixture(scope="module")
def tuned(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A profile of copies of the bundled networks, and the report beside it: to be read only."""
    return once("tune-profile", _tune) / "p.json"


def _tune(folder: Path) -> None:
    for name in ("rtmpose-t-own", "rtmdet-nano-own"):
        shutil.copy(find_model(name), folder)
    done = CliRunner().invoke(
        app,
        [
            *("tune", "--pose", str(folder / "rtmpose-t-own.onnx")),
            *("--detector", str(folder / "rtmdet-nano-own.onnx"), "--threads", "1", "--max-ap-loss", "50"),
            *("--frames", "4", "--runs", "2", "--intervals", "1,4", "--out", str(folder / "p.json")),
            *("--detector-sizes", "256x320"),
        ],
        env={"COLUMNS": "160"},
        catch_exceptions=False,
    )
    (folder / "report.txt").write_text(done.output)
    assert done.exit_code == 0, done.output


def test_a_profile_runs_what_was_measured(tuned: Path, photo: np.ndarray) -> None:
    raw = json.loads(tuned.read_text())
    with Pipeline(profile=tuned) as pipeline:
        runtime = pipeline.predictor.runtime
        assert runtime.engine.split()[0] == raw["pose"]["engine"]
        assert runtime.threads == 1
        assert pipeline.detect_every == raw["detect_every"]
        assert len(pipeline(photo)) >= 1
    report = tuned.with_name("report.txt").read_text()
    assert "agreement with the fp32 keypoints" in report
    assert "int8: needs pictures" in report
    assert "detect fp32 up to 256x320: " in report


def test_a_profile_says_the_detectors_size(tuned: Path, tmp_path: Path) -> None:
    raw = json.loads(tuned.read_text())
    raw["detector"]["input_size"] = [256, 320]
    sized = tmp_path / "sized.json"
    sized.write_text(json.dumps(raw))
    with Pipeline(profile=sized) as pipeline:
        assert pipeline.detector is not None
        assert pipeline.detector.card.input_size == (256, 320)
    with pytest.raises(InputError, match="leave out detector_size"):
        Pipeline(profile=sized, detector_size=256)


def test_sizes_are_tried_of_what_takes_them(tmp_path: Path) -> None:
    able = variants(find_model("rtmdet-nano-own"), "detect", None, sizes=[(256, 256), (384, 384)]).able
    plain = [v for v in able if v.input_size is None]
    small = [v for v in able if v.input_size == (256, 256)]
    assert len(able) == len(plain) + len(small) == 2 * len(plain)
    assert [v.name for v in small] == [f"{v.name} up to 256x256" for v in plain]
    runtime, card = small[0].open("detect", 1)
    with runtime:
        assert card.input_size == (256, 256)
    full = tmp_path / "d.onnx"
    full.write_bytes(find_model("rtmdet-nano-own").read_bytes())
    replace_card(full, replace(artifact_card(full), letterbox="full"))
    names = [v.name for v in variants(full, "detect", None, sizes=[(384, 384)]).able]
    assert "onnxruntime fp32 up to 384x384" in names
    words = ["tune", "--detector-sizes", "300,256", "--threads", "1"]
    refused = str(CliRunner().invoke(app, words).exception)
    assert refused.startswith("--detector-sizes 300,256: ")
    assert "input size is 300x300; expected" in refused


def test_only_fp32_on_request() -> None:
    pytest.importorskip("openvino")
    found = variants(find_model("rtmpose-t-own"), "pose", None, only_fp32=True)
    assert [v.name for v in found.able] == ["onnxruntime fp32", "openvino fp32"]
    assert found.left_out == ()
    words = ["tune", "--fp32", "--calibrate", "somewhere"]
    assert "--calibrate is for int8" in str(CliRunner().invoke(app, words).exception)


def test_a_smaller_size_is_tried_where_its_loss_is_measured() -> None:
    card = artifact_card("rtmdet-nano-own")
    assert _sizes(None, card, measured=True) == [(384, 384), (320, 320)]
    assert _sizes(None, card, measured=False) == []
    assert _sizes(None, artifact_card("rtmpose-t-own"), measured=True) == []
    assert _sizes("256, 416x256", card, measured=False) == [(256, 256), (416, 256)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["machine"].update(processor="Z80"), "another machine: processor Z80"),
        (lambda raw: raw["machine"].update(cores=999), "another machine: cores 999"),
        (lambda raw: raw["machine"].update({"instruction sets": ["mmx"]}), "instruction sets"),
        (lambda raw: raw.update(version=99), "version 99"),
        (lambda raw: raw.update(version=1), "version 1; expected 3"),
        (lambda raw: raw.pop("pose"), "not a profile"),
        (lambda raw: raw["pose"]["sha256"].update({"gone.onnx": "0"}), "gone.onnx is missing"),
        (lambda raw: raw["engines"].update(abacus="1"), "needs abacus 1"),
        (
            lambda raw: raw["pose"]["sha256"].update({"rtmpose-t-own.onnx": "0"}),
            "not the one that was measured",
        ),
    ],
)
def test_a_profile_that_does_not_hold(tuned: Path, tmp_path: Path, change, message: str) -> None:
    raw = json.loads(tuned.read_text())
    change(raw)
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message) as error:
        Pipeline(profile=broken)
    assert "rtmpose tune" in str(error.value)


def test_a_card_that_came_or_changed_ends_a_profile(tuned: Path, tmp_path: Path) -> None:
    for file in tuned.parent.glob("*.onnx"):
        shutil.copy(file, tmp_path)
    raw = json.loads(tuned.read_text())
    pose = tmp_path / "rtmpose-t-own.onnx"
    raw["pose"]["path"] = str(pose)
    profile = tmp_path / "p.json"
    profile.write_text(json.dumps(raw))
    usable_profile(profile)
    card = tmp_path / "rtmpose-t-own.onnx.card.json"
    card.write_text(artifact_card(pose).to_json())
    with pytest.raises(InputError, match=r"card\.json came after the measurement; run `rtmpose tune`"):
        usable_profile(profile)
    raw["pose"]["sha256"] = hashes(pose)
    profile.write_text(json.dumps(raw))
    usable_profile(profile)
    card.write_text(card.read_text().replace('"simcc_split_ratio": 2.0', '"simcc_split_ratio": 4.0'))
    with pytest.raises(InputError, match=r"card\.json is not the one that was measured"):
        usable_profile(profile)


def test_an_engine_of_another_distribution_has_its_version() -> None:
    version = engine_version("cv2")  # of opencv-python or opencv-python-headless
    assert version is not None
    assert version.startswith(cv2.__version__)
    assert engine_versions(["abacus"]) == {}


def test_ctrl_c_ends_the_search_without_a_profile(tmp_path: Path, started: Callable) -> None:
    words = ["tune", "--threads", "1", "--frames", "2", "--runs", "1000000", "--intervals", "1"]
    words += ["--persons", "1", "--fp32"]
    process = started(
        [Path(sys.executable).with_name("rtmpose"), *words, "--out", tmp_path / "p.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "loses" in line:
            break
    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    assert "Traceback" not in complaints
    assert "no profile is written" in printed
    assert [file.name for file in tmp_path.iterdir()] == ["p.partial.json"]
    kept = json.loads((tmp_path / "p.partial.json").read_text())
    assert {name.split()[0] for name in kept["settings, ms"]} == {"pose", "detect"}
    with pytest.raises(InputError, match="not a profile"):
        usable_profile(tmp_path / "p.partial.json")


def test_a_round_that_was_cut_short_chooses_nobody() -> None:
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        if calls == 15:  # in the fourth round: 2, 3 and 5 calls are of whole ones
            raise KeyboardInterrupt

    rounds: list[dict[str, float]] = []
    with pytest.raises(KeyboardInterrupt):
        halve_to_front({"a": step}, {"a": 0.0}, 64, lambda ms: rounds.append(dict(ms)))
    assert [set(ms) for ms in rounds] == [{"a"}] * 3
    calls = 0
    with pytest.raises(KeyboardInterrupt):
        halve({"a": step, "b": step}, 1, 100)


@pytest.mark.parametrize(
    ("clip", "message"), [([], "has no frame"), ([0, 0], "nobody is found in the 2 frames")]
)
def test_a_clip_with_nobody(clip: list[int], message: str) -> None:
    frames = [np.full((64, 64, 3), value, np.uint8) for value in clip]
    pose, finder = (variants(find_model(n), t, None).able for n, t in OWN)
    with pytest.raises(InputError, match=message):
        tune(Job(pose, finder, frames, [], None, 1, 1, (1,), 1))


def test_an_int8_export_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")

    def fails(*_: object) -> Path:
        raise VerificationError("its int8 export does not give its keypoints")

    monkeypatch.setattr("rtmpose_sdk.exporters.candidates._int8", fails)
    found = variants(find_model("rtmpose-t-own"), "pose", np.zeros((1, 256, 192, 3), np.uint8))
    assert {"onnxruntime fp32", "openvino fp32"} <= {v.name for v in found.able}
    assert not any(v.kind == "int8" for v in found.able)
    assert any(reason.startswith("openvino int8: its int8 export does not") for reason in found.left_out)


def test_another_version_of_an_engine_is_said(tuned: Path, tmp_path: Path) -> None:
    raw = json.loads(tuned.read_text())
    (engine,) = {raw["pose"]["engine"]}
    raw["engines"][engine] = "0.1"
    older = tmp_path / "older.json"
    older.write_text(json.dumps(raw))
    with pytest.warns(UserWarning, match=f"measured with {engine} 0.1"):
        Pipeline(profile=older).close()


def test_auto_without_a_profile_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="rtmpose tune"):
        Pipeline("auto")
    with pytest.raises(InputError, match="leave out threads"):
        Pipeline("auto", threads=2)


def test_limits_that_nothing_keeps(tmp_path: Path) -> None:
    never = tmp_path / "never.json"
    done = CliRunner().invoke(
        app,
        [
            *("tune", "--threads", "1", "--frames", "2", "--runs", "1", "--intervals", "1"),
            *("--max-ms", "0.001", "--persons", "1", "--fp32", "--out", str(never)),
        ],
    )
    assert isinstance(done.exception, InputError)
    said = str(done.exception)
    assert "no configuration within --max-ms 0.001: the fastest takes " in said
    assert "ms, the most accurate loses 0.00; no profile is written" in said
    assert not never.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--intervals", "\N{SUPERSCRIPT TWO}"], "expected frames, for example 1,2,5,10"),
        (["--intervals", "0"], "expected frames"),
        (["--pose", "auto"], "expected the model that is to be tuned"),
    ],
)
def test_what_is_no_setting_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["tune", *words, "--out", str(tmp_path / "p.json")])
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)


@pytest.mark.parametrize("option", ["--max-ms", "--max-ap-loss"])
@pytest.mark.parametrize("limit", ["inf", "nan", "-1"])
def test_limits_are_numbers(tmp_path: Path, option: str, limit: str) -> None:
    """They are written into the profile, and JSON has no others."""
    done = CliRunner().invoke(app, ["tune", option, limit, "--out", str(tmp_path / "p.json")])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "typo.json"
    with pytest.raises(InputError, match=r"typo.json: no such file; `rtmpose tune --out .*` writes"):
        usable_profile(file)


@pytest.mark.parametrize("option", ["--images", "--video"])
def test_what_cannot_be_read_is_said_before_the_exports(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_variants", lambda *_: pytest.fail("exports before its inputs are read"))
    done = CliRunner().invoke(app, ["tune", option, str(tmp_path / "none"), "--out", str(tmp_path / "p")])
    assert isinstance(done.exception, RTMPoseError)
    assert str(tmp_path / "none") in str(done.exception)


@pytest.mark.parametrize("option", ["--calibrate", "--candidate", "--pose", "--detector", "--video"])
def test_a_profile_replaces_nothing_that_is_read(tmp_path: Path, option: str) -> None:
    file = tmp_path / "precious"
    file.write_text("{}")
    done = CliRunner().invoke(
        app, ["tune", option, str(file), "--out", str(tmp_path / "x" / ".." / file.name)]
    )
    assert isinstance(done.exception, OutputError)
    assert "expected another file to be written" in str(done.exception)
    assert file.read_text() == "{}"


def test_int8_of_an_sdk_folder_is_made_once(
    shared: Path, detector_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 96x96 px with few pictures, of which the layers' costs are measured on four."""
    pytest.importorskip("nncf", reason="OpenVINO's int8 needs nncf")
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path))
    monkeypatch.setattr("rtmpose_sdk.exporters.sensitivity.PROBE_CROPS", 4)
    folder = tmp_path / "sdk"
    folder.mkdir()
    for file in detector_folder.iterdir():
        shutil.copyfile(file, folder / file.name)
    pipeline = json.loads((folder / "pipeline.json").read_text())
    for step in pipeline["pipeline"]["tasks"][0]["transforms"]:
        if "size" in step:
            step["size"] = [96, 96]
    (folder / "pipeline.json").write_text(json.dumps(pipeline))
    card = artifact_card(folder)
    assert card.input_size == (96, 96)
    calibration = calibration_images(card, shared / "data" / "coco_train", DEFAULT_DETECTOR, limit=16)
    first = variants(folder, "detect", calibration)
    int8 = next(v for v in first.able if v.kind == "int8")
    assert artifact_card(int8.path).precision == "int8"
    assert int8.path.is_relative_to(tmp_path)
    written = int8.path.stat().st_mtime_ns
    again = next(v for v in variants(folder, "detect", calibration).able if v.kind == "int8")
    assert (again.path, again.path.stat().st_mtime_ns) == (int8.path, written)
    with again.open("detect", 1).runtime as runtime:
        assert runtime.engine.startswith("openvino")


def test_of_an_ap_of_nothing_nothing_can_be_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured = SimpleNamespace(ap=0.0)
    monkeypatch.setattr("rtmpose_sdk.benchmarks.tune.evaluate_poses", lambda *a, **k: measured)
    job = SimpleNamespace(truth=Truth(tmp_path / "a.json", tmp_path))
    net = SimpleNamespace(keypoint_set=None)
    with pytest.raises(InputError, match=r"a\.json: the AP of pose with boxes is 0\.000, of which nothing"):
        _pair_losses(job, {"pose": net}, {"boxes": net})
    measured.ap = 0.5
    assert _pair_losses(job, {"pose": net}, {"boxes": net}) == {("pose", "boxes"): 0}
