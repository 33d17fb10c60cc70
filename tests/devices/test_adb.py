"""`--device adb`: a stand-in for adb runs the real native program; and what can be wrong with a phone."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.baseline import read_baseline
from rtmpose_sdk.benchmarks.cli import app
from rtmpose_sdk.benchmarks.remote import adb, measure_adb, report_adb

from .conftest import BENCH

ELF_ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00"
SAME_PX = 0.5
"""One bin of SimCC: the least that a keypoint can move."""


@pytest.fixture(scope="session")
def native() -> Path:
    if "RTMPOSE_NATIVE" not in os.environ:
        pytest.skip("needs the native program in RTMPOSE_NATIVE: make test-devices, make test-devices-arm")
    return Path(os.environ["RTMPOSE_NATIVE"])


@pytest.fixture(scope="session")
def on_arm(native: Path) -> bool:
    """The program is for ARM: a run takes seconds in QEMU."""
    return native.read_bytes()[18] == 183


def bench(*words: object) -> object:
    return CliRunner().invoke(app, [str(word) for word in words])


def refusal(*words: object) -> str:
    done = bench(*words)
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, Exception)
    return str(done.exception)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file that says it is a program for ARM, for what fails before it runs."""
    path = tmp_path / "rtmpose-native"
    path.write_bytes(ELF_ARM64)
    return path


@pytest.mark.parametrize(
    ("listed", "device", "message"),
    [
        ("", "adb", "adb finds no device: plug one in, switch on USB debugging"),
        ("", "adb:X", "adb finds no device: plug one in"),
        ("A\tdevice\nB\tdevice\n", "adb", "finds 2 devices: A (device), B (device); say which"),
        ("A\tdevice\n", "adb:B", "finds no device B; it finds A (device)"),
        ("A\tunauthorized\n", "adb", "adb:A is unauthorized; it does not trust this machine yet"),
        ("A\tdevice\nB\toffline\n", "adb:B", "adb:B is offline; it is plugged in but does not answer"),
        ("A\tno permissions (user x); see [http://a]\n", "adb", "install the udev rules"),
        ("A\trecovery\n", "adb", "adb:A is recovery; start its Android"),
        ("A\tdevice\n", "adb:", "expected adb, or adb:SERIAL"),
        ("A\tdevice\n", "adb:-x", "expected adb, or adb:SERIAL"),
    ],
)
def test_devices_that_cannot_be_used(
    phone: Path, program: Path, listed: str, device: str, message: str
) -> None:
    (phone / "devices").write_text(listed)
    assert message in refusal("--device", device, "--native", program)


def test_no_adb(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "'adb' is not on this machine" in refusal("--device", "adb", "--native", program)


def test_a_device_that_hangs_is_given_up(
    phone: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb, "ANSWER_SECONDS", 6)
    (phone / "hangs").touch()
    assert "adb:PHONE1: no answer within 6 s" in refusal("--device", "adb", "--native", program)


def test_a_full_device(phone: Path, program: Path, ncnn_model: Path) -> None:
    (phone / "breaks").touch()
    words = ("--device", "adb", "--native", program, "--pose", ncnn_model)
    assert "No space left on device" in refusal(*words)
    assert not list((phone / "tmp").iterdir())


def test_programs_that_it_cannot_run(phone: Path, program: Path, tmp_path: Path) -> None:
    assert "needs the native program: build it" in refusal("--device", "adb")
    assert "no such program" in refusal("--device", "adb", "--native", tmp_path / "nothing")
    (phone / "props").write_text("ro.product.cpu.abi=x86_64\n")
    said = refusal("--device", "adb", "--native", program)
    assert "runs programs for x86_64, but rtmpose-native is for arm64-v8a" in said
    program.write_text("#!/bin/sh\n")
    assert "not a program of Linux or Android" in refusal("--device", "adb", "--native", program)


def test_what_a_phone_does_not_do(phone: Path, program: Path) -> None:
    words = ("--device", "adb", "--native", program)
    said = refusal(*words, "--persons", 4, "--engine", "openvino", "--detector", "rtmdet-nano-own")
    assert "--engine, --persons, --detector cannot be had with --device adb" in said
    assert "runs ncnn models (.param with .bin)" in refusal(*words)
    assert not list((phone / "tmp").iterdir())


def test_the_programs_ncnn_is_the_one_of_the_tests() -> None:
    root = Path(__file__).parents[2]
    [version] = re.findall(r"(?m)^version=(\S+)$", (root / "benchmarks/native/ncnn.sh").read_text())
    assert f"ncnn=={version}\n" in (root / "constraints.txt").read_text()


def test_throttling_is_told() -> None:
    def report(name: str, ratio: float | None, spread: float = 0.0) -> dict:
        figures = dict.fromkeys(("mean", "min", "p50", "p99", "std", "fps", "cpu", "runs"), 1.0)
        return {
            "name": name,
            "setting": {"last 50 / first 50 runs": ratio},
            "ms": {"bare engine": {**figures, "p90": 1.0 + spread}},
        }

    assert report_adb.judged([report("a", 1.02), report("b", None)])["noise warning"] == ""
    hot = report_adb.judged([report("a", 1.0), report("b", 1.31, 0.4)])["noise warning"]
    assert "throttled: the last 50 runs of b took 1.31 x the time of the first 50" in hot
    assert "noisy" not in hot
    assert "noisy device: the p90 is 40%" in report_adb.judged([report("a", 1.0, 0.4)])["noise warning"]


def test_first_and_last_runs_are_parted(tmp_path: Path) -> None:
    card = type("Card", (), {"name": "t", "accuracy": {}, "input_size": (192, 256)})
    found = {
        **{
            "ncnn": "1",
            "precision": "fp32",
            "threads": 1,
            "load_ns": 1,
            "peak_memory_kb": 1,
            "keypoints": [],
        },
        "ns": [10**6] * 50 + [7 * 10**6] * 101 + [2 * 10**6] * 50,
        "cpu_ns": [10**6] * 201,
    }
    values = {"warm_up": 50}
    files = (tmp_path / "t.param", tmp_path / "t.bin")
    for file in files:
        file.touch()
    made = report_adb.adb_report(card, files, found, "A", "p", values)
    assert made["setting"]["last 50 / first 50 runs"] == 2.0
    assert (made["ms"]["first 50 runs"]["p50"], made["ms"]["last 50 runs"]["p50"]) == (1.0, 2.0)
    assert made["ms"]["bare engine"]["p50"] == 7.0
    found["ns"], found["cpu_ns"] = found["ns"][:99], found["cpu_ns"][:99]
    made = report_adb.adb_report(card, files, found, "A", "p", values)
    assert list(made["ms"]) == ["bare engine"]


def test_a_phone_is_reported_as_any_machine(
    phone: Path, native: Path, on_arm: bool, ncnn_model: Path, keypoints_here: np.ndarray, tmp_path: Path
) -> None:
    if not on_arm:
        props = (phone / "props").read_text()
        (phone / "props").write_text(props.replace("arm64-v8a", "x86_64"))
    runs = ("--warm-up", 0, "--runs", 1) if on_arm else ()
    files = ("--json", tmp_path / "r.json", "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    done = bench("--device", "adb:PHONE1", "--pose", ncnn_model, "--native", native, *runs, *files)
    assert done.exit_code == 0, done.output + str(done.exception)
    content = read_baseline(tmp_path / "r.json")
    [report] = content["reports"]
    assert content["machine"]["processor"] == "Stand-in One, QEMU"
    assert content["machine"]["engines"] == {"ncnn": "1.0.20261020"}
    assert report["setting"]["device"] == "adb:PHONE1"
    assert report["setting"]["threads"] == 1
    figures = report["ms"]["bare engine"]
    assert figures["runs"] == (1 if on_arm else 200)
    assert 0 < figures["min"] <= figures["p50"]
    if not on_arm:
        assert report["setting"]["last 50 / first 50 runs"] > 0
    np.testing.assert_allclose(report["keypoints"], keypoints_here, atol=SAME_PX)
    assert not list((phone / "tmp").iterdir()), "its folder is left there"
    print(done.output)  # noqa: T201 - pytest -rP shows it


def test_ctrl_c_keeps_what_was_measured_whole(
    phone: Path, program: Path, ncnn_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"ncnn": "1", "precision": "fp32", "load_ns": 1, "peak_memory_kb": 1, "keypoints": []}

    def run(*given: object) -> dict:
        if given[5] == 2:
            raise KeyboardInterrupt
        return {**found, "threads": given[5], "ns": [10**6] * 3, "cpu_ns": [10**6] * 3}

    monkeypatch.setattr(measure_adb, "_run", run)
    words = ("--device", "adb", "--native", program, "--pose", ncnn_model, "--json", tmp_path / "r.json")
    done = bench(*words, "--threads", 1, "--threads", 2)
    assert done.exit_code == 0
    [report] = read_baseline(tmp_path / "r.json")["reports"]
    assert report["setting"]["threads"] == 1
    assert bench(*words, "--threads", 2).exit_code != 0
    assert not list((phone / "tmp").iterdir())


def test_what_is_interrupted_does_not_go_on_there(phone: Path, ncnn_model: Path, tmp_path: Path) -> None:
    """adb's end does not end the device's program."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    number = tmp_path / "number"
    (tmp_path / "endless.cpp").write_text(
        "#include <unistd.h>\n#include <fstream>\n"
        f'int main() {{ std::ofstream("{number}") << getpid() << std::endl; for (;;) pause(); }}\n'
    )
    program = tmp_path / "endless"
    subprocess.run(["g++", tmp_path / "endless.cpp", "-o", program], check=True)
    (phone / "props").write_text("ro.product.cpu.abi=x86_64\n")
    process = subprocess.Popen(
        [BENCH, "--device", "adb", "--native", program, "--pose", ncnn_model],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while not (number.is_file() and number.read_text().endswith("\n")):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
        there = Path(f"/proc/{number.read_text().strip()}")
        end = time.monotonic() + 10
        while there.exists():  # until the system has taken note of its end
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        process.kill()
        if number.is_file():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number.read_text()), signal.SIGKILL)
    assert not list((phone / "tmp").iterdir())


def run_native(native: Path, on_arm: bool, *words: object) -> subprocess.CompletedProcess[str]:
    start = ["qemu-aarch64-static", "-cpu", "max"] if on_arm else []
    return subprocess.run([*start, native, *map(str, words)], capture_output=True, text=True, check=False)


def test_precisions(
    phone: Path, native: Path, on_arm: bool, ncnn_model: Path, keypoints_here: np.ndarray, tmp_path: Path
) -> None:
    """fp16 arithmetic on ARM gives the keypoints of fp32; a PC has none, and says so."""
    if not on_arm:
        props = (phone / "props").read_text()
        (phone / "props").write_text(props.replace("arm64-v8a", "x86_64"))
    words = ("--device", "adb", "--pose", ncnn_model, "--native", native, "--warm-up", 0, "--runs", 1)
    done = bench(*words, "--precision", "fp16", "--json", tmp_path / "r.json")
    if not on_arm:
        assert "this processor computes in fp16-storage then" in str(done.exception)
        assert not list((phone / "tmp").iterdir())
        return
    assert done.exit_code == 0, done.output + str(done.exception)
    [report] = read_baseline(tmp_path / "r.json")["reports"]
    assert report["setting"]["precision"] == "fp16"
    moved = np.linalg.norm(np.array(report["keypoints"]) - keypoints_here, axis=-1)
    # A keypoint that is nowhere has two peaks of one height, and half precision may take the other.
    assert np.median(moved) <= SAME_PX
    assert (moved > 4).mean() <= 0.1


def test_the_programs_own_refusals(native: Path, on_arm: bool, ncnn_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.f32").write_bytes(bytes(4 * 3 * 256 * 192))
    (tmp_path / "short.f32").write_bytes(bytes(100))
    (tmp_path / "alone.param").write_bytes(ncnn_model.read_bytes())
    (tmp_path / "text.param").write_text("hello\n")
    text = ncnn_model.read_text()
    (tmp_path / "new.param").write_text(re.sub(r"(?m)^HardSigmoid ", "SoftestSign ", text))
    (tmp_path / "new.bin").write_bytes(ncnn_model.with_suffix(".bin").read_bytes())
    (tmp_path / "cut.param").write_text(text)
    (tmp_path / "cut.bin").write_bytes(ncnn_model.with_suffix(".bin").read_bytes()[:1000])

    def refused(model: Path, source: str, *more: object) -> str:
        words = ("--model", model, "--input", tmp_path / source, "--out", tmp_path, *more)
        done = run_native(native, on_arm, *words)
        assert done.returncode == 1, done.stderr
        assert not (tmp_path / "report.json").exists()
        return done.stderr

    assert "100 bytes; the model takes 589824" in refused(ncnn_model, "short.f32")
    assert "cannot be read" in refused(ncnn_model, "nothing.f32")
    assert "alone.bin: missing, damaged" in refused(tmp_path / "alone.param", "in.f32")
    assert "cut.bin: missing, damaged or cut short" in refused(tmp_path / "cut.param", "in.f32")
    assert "not an ncnn .param file" in refused(tmp_path / "text.param", "in.f32")
    assert "lacks one of its layers" in refused(tmp_path / "new.param", "in.f32")
    assert "expected fp32, fp16-storage" in refused(ncnn_model, "in.f32", "--precision", "fp8")
    assert "no int8 layers" in refused(ncnn_model, "in.f32", "--precision", "int8")
    assert "--runs 0; expected a whole number from 1" in refused(ncnn_model, "in.f32", "--runs", 0)
    assert "no option --speed" in refused(ncnn_model, "in.f32", "--speed", 1)
    assert "--runs has no value" in refused(ncnn_model, "in.f32", "--runs")
