"""The gate where there is a GPU, by a stand-in: ONNX Runtime with an engine's name and limits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks import accuracy
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import DeviceError, InputError, MissingExtraError
from rtmpose_sdk.exporters import export as exporting
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.onnx import save_onnx
from rtmpose_sdk.exporters.report import print_agreement, print_verification
from rtmpose_sdk.exporters.run_export import _measure
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.exporters.verify import runtime_reference
from rtmpose_sdk.runtimes import Runtime, open_runtime
from rtmpose_sdk.zoo import find_model


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_from_artifact(find_model("rtmpose-t-own"))


@pytest.fixture(scope="module")
def crops(subject: Subject) -> np.ndarray:
    return np.tile(verification_images(subject.card, None, None, 16), (2, 1, 1, 1))[:19]


def limited(runtime: Runtime, smallest: int, largest: int, sizes: list[int]) -> Runtime:
    """The runtime with a profile; what it is given is written down."""
    runtime.smallest_batch, runtime.largest_batch = smallest, largest
    infer = runtime._infer

    def run(array: np.ndarray) -> tuple[np.ndarray, ...]:
        if not smallest <= len(array) <= largest:
            raise InputError(f"was built for batches of {smallest} to {largest}; given {len(array)}")
        sizes.append(len(array))
        return infer(array)

    runtime._infer = run  # type: ignore[method-assign]
    return runtime


@pytest.mark.parametrize(
    ("smallest", "largest", "sizes"),
    [(1, 8, [8, 8, 3]), (4, 8, [8, 8, 4]), (17, 32, [17, 17]), (1, 64, [16, 3]), (2, 2, [2] * 10)],
)
def test_batches_are_those_of_the_profile(
    subject: Subject, crops: np.ndarray, smallest: int, largest: int, sizes: list[int]
) -> None:
    file = find_model("rtmpose-t-own")
    given: list[int] = []
    with open_runtime(file, threads=1) as plain, open_runtime(file, threads=1) as opened:
        want = runtime_reference(plain, subject.card)(crops)
        have = runtime_reference(limited(opened, smallest, largest, given), subject.card)(crops)
    assert given == sizes
    for name in ("simcc_x", "simcc_y"):
        joined = [np.concatenate([batch[name] for batch in batches]) for batches in (want, have)]
        assert len(joined[1]) == len(crops)
        np.testing.assert_allclose(joined[0], joined[1], atol=1e-4)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Engines are ONNX files under another name; the devices that they are opened on."""
    devices: list[str] = []

    def write(subject: Subject, card: ModelCard, path: Path, *_: Any) -> onnx.ModelProto:
        save_onnx(subject.graph, card, path)
        path.with_name(f"{path.name}.card.json").write_text(card.to_json())
        return subject.graph

    def opened(path: Path, device: str = "cpu", **more: Any) -> Runtime:
        if path.suffix != ".engine":
            return open_runtime(path, device, **more)
        devices.append(device)
        if device != "cuda":
            raise DeviceError(f"unknown device '{device}'; expected one of cuda")
        return limited(open_runtime(shutil.copy(path, tmp_path / "engine.onnx"), threads=1), 1, 8, [])

    monkeypatch.setattr(exporting, "write", write)
    monkeypatch.setattr(exporting, "open_runtime", opened)
    return devices


def test_an_engine_is_verified_on_its_gpu(
    subject: Subject, crops: np.ndarray, written: list[str], tmp_path: Path
) -> None:
    found = export(subject, tmp_path / "t.engine", crops, settings=ExportSettings("tensorrt", "fp32"))
    assert found is not None
    assert found.verified, found
    assert (found.what, found.crops) == ("artifact", 19)
    assert set(written) == {"cuda"}
    assert artifact_card(tmp_path / "t.engine").verification["what"] == "artifact"


@pytest.mark.parametrize(
    "missing",
    [
        MissingExtraError("cuda-python", "tensorrt-rtx", "Running a TensorRT engine"),
        DeviceError("device 'cuda:0' cannot be had: there is no GPU"),
    ],
)
def test_without_gpu_or_binding_its_graph_is_verified(
    subject: Subject,
    crops: np.ndarray,
    written: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: Exception,
) -> None:
    def opened(path: Path, *arguments: Any, **more: Any) -> Runtime:
        if path.suffix == ".engine":
            raise missing
        return open_runtime(path, *arguments, **more)

    monkeypatch.setattr(exporting, "open_runtime", opened)
    found = export(subject, tmp_path / "t.engine", crops[:4], settings=ExportSettings("tensorrt", "fp32"))
    assert found is not None
    assert found.verified
    assert found.what == "graph"
    assert {file.name for file in tmp_path.iterdir()} == {"t.engine", "t.engine.card.json"}


def test_an_artifact_may_be_named_as_the_graph(subject: Subject, crops: np.ndarray, tmp_path: Path) -> None:
    found = export(subject, tmp_path / "graph.onnx", crops[:4], settings=ExportSettings("onnx", "fp32"))
    assert found is not None
    assert found.what == artifact_card(tmp_path / "graph.onnx").verification["what"] == "artifact"


def test_why_the_file_was_not_run(
    subject: Subject, crops: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "graph.onnx"
    found = export(subject, out, crops[:4], settings=ExportSettings("onnx", "fp16"))
    assert found is not None
    assert found.what == "graph"
    print_verification(found, subject.card, out)
    assert "on a processor ONNX Runtime computes fp16 in fp32" in capsys.readouterr().out
    (tmp_path / "t.engine").touch()
    print_verification(found, subject.card, tmp_path / "t.engine")
    said = capsys.readouterr().out
    assert "no device for it here, or no CUDA binding" in said
    assert "built from, with fp16 rounded and overflowing as a GPU does." in said
    print_verification(replace(found, precision="fp32"), subject.card, tmp_path / "t.engine")
    assert "What was compared is the graph that it was built from.\n" in capsys.readouterr().out


def test_what_int8_is_not_checked_for_is_told(
    subject: Subject, crops: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without AP the median alone has a limit: p99 of 100 px passed, and nothing was said."""
    out = tmp_path / "t.onnx"
    plain = export(subject, out, crops[:2])
    assert plain is not None
    found = replace(plain, precision="int8")
    print_verification(found, subject.card, out)
    assert "AP was not measured" in capsys.readouterr().out
    for other in (found.with_accuracy(0.4, 0.4), plain):
        print_verification(other, subject.card, out)
        assert "AP was not measured" not in capsys.readouterr().out


def test_brackets_in_names_are_no_markup(
    subject: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[" / "red].onnx"  # "[/red]" ends a colour that nothing began
    out.parent.mkdir()
    out.touch()
    print_verification(None, subject.card, out)
    assert "[/red].onnx: rtmpose-t 192x256" in capsys.readouterr().out
    print_agreement(None, "pose", out)
    assert "[/red].onnx: end2end pose" in capsys.readouterr().out


def test_ap_is_measured_where_the_artifact_runs(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []

    class Model:
        def __init__(self, path: Path, device: str, threads: int | None) -> None:
            devices.append(f"{path.suffix} {device}")

        def __enter__(self) -> Model:
            return self

        def __exit__(self, *_: object) -> None: ...

    cards = {"t": subject.card, "d": artifact_card(find_model("rtmdet-nano-own"))}
    monkeypatch.setattr(accuracy, "artifact_card", lambda path: cards[path.stem])
    monkeypatch.setattr(accuracy, "model_accuracy", lambda *_: {"AP": 0.5})
    for kind in ("Predictor", "Detector"):
        monkeypatch.setattr(accuracy, kind, Model)
    measure = _measure(tmp_path / "a.json", tmp_path)
    for name in ("t.engine", "d.engine", "t.onnx"):
        assert measure(tmp_path / name) == 0.5
    assert devices == [".engine cuda", ".engine cuda", ".onnx cpu"]
