"""Options that would be passed over, or that nothing can be made of, are refused before the work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from typer.testing import CliRunner

from rtmpose_sdk.artifacts import artifact_card, card_beside
from rtmpose_sdk.errors import InputError, ModelFileError
from rtmpose_sdk.exporters import onnx as onnx_files
from rtmpose_sdk.exporters.cli import app
from rtmpose_sdk.exporters.convert import convert
from rtmpose_sdk.exporters.end2end_export import read_part
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.subject import subject_from_artifact
from rtmpose_sdk.exporters.trace import traced
from rtmpose_sdk.models import build_model
from rtmpose_sdk.models.checkpoint import NOTE
from rtmpose_sdk.zoo import find_model


def invoke(*words: object) -> BaseException | None:
    return CliRunner().invoke(app, [str(word) for word in words]).exception


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--nms --detection-threshold 0.5", "--detection-threshold: for --end2end detector and pipeline"),
        ("--detection-threshold 0", "--detection-threshold: for --end2end detector and pipeline"),
        ("--end2end pose --detection-threshold 0.3", "--detection-threshold: for --end2end detector and"),
        ("--detector nonsense", "--detector: for --end2end pipeline"),
        ("--end2end detector --detector rtmdet-nano-own", "--detector: for --end2end pipeline"),
        ("--end2end pose --backend onnx", "--backend: --end2end puts networks as they are into one"),
        ("--end2end pose --license unknown --notes x", "--license, --notes: --end2end puts"),
        ("--calibration-images .", "--calibration-images: for --precision int8 with --calibrate"),
        ("--calibration-crops 256", "--calibration-crops: for --precision int8"),
        ("--calibration-detector rtmdet-nano-own", "--calibration-detector: for --precision int8"),
        ("--batch 1 --flavour tensorrt", "--batch, --flavour: for --backend tensorrt"),
        ("--no-verify --images /nope", "--images: to verify with; leave out --no-verify"),
        ("--no-verify --images . --annotations a.json", "--images, --annotations: to verify with"),
        ("--no-verify --crops 100", "--crops: to verify with"),
        ("--end2end pose --no-verify --crops 3", "--crops: to verify with"),
        ("--accuracy AP=nan", "'AP=nan'; expected NAME=VALUE with a finite number"),
        ("--accuracy AP=-inf", "expected NAME=VALUE with a finite number"),
    ],
)
def test_what_would_be_passed_over_is_refused(tmp_path: Path, words: str, message: str) -> None:
    refused = invoke("--weights", "none.pth", "--out", tmp_path / "t.onnx", *words.split())
    assert isinstance(refused, InputError), refused
    assert message in str(refused)


def test_storage_that_another_backend_does_not_look_at(tmp_path: Path) -> None:
    """OpenVINO stores fp16 where nothing is said: what says fp32 is another option."""
    words = ("--weights", "none.pth", "--backend", "openvino", "--out", tmp_path / "t.xml")
    refused = invoke(*words, "--storage", "fp32")
    assert isinstance(refused, InputError), refused
    assert str(refused) == "--storage: for ONNX; with --backend openvino say --precision fp32"


@pytest.fixture
def of_kites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: Callable[[str, Callable[[Path], object]], Path]
) -> Path:
    """Weights of a run that says their licence and notes. Their network is traced once for all tests."""
    card = replace(new_card("rtmpose-t", (192, 256), "coco17"), license="CC0-1.0", notes="of kites")
    torch.manual_seed(0)
    network = build_model("rtmpose-t", keypoint_set="coco17").eval()
    made = once("options-trace", lambda folder: onnx.save(traced(network, card), str(folder / "t.onnx")))
    monkeypatch.setattr(onnx_files, "traced", lambda network, card: onnx.load(str(made / "t.onnx")))
    torch.save(
        {"state_dict": network.state_dict(), NOTE: {"card": card.to_json()}}, tmp_path / "weights.pth"
    )
    return tmp_path / "weights.pth"


def test_weights_of_a_run_keep_its_licence_and_notes(of_kites: Path, tmp_path: Path) -> None:
    for given, expected in (
        ([], ("CC0-1.0", "of kites")),
        (["--license", "MIT", "--notes", "mine"], ("MIT", "mine")),
    ):
        words = ("--weights", of_kites, "--no-verify", "--out", tmp_path / "t.onnx")
        assert invoke(*words, *given) is None
        found = artifact_card(tmp_path / "t.onnx")
        assert (found.license, found.notes) == expected


def test_so_they_do_in_an_end2end_file_and_in_the_cache(of_kites: Path, tmp_path: Path) -> None:
    card = read_part(of_kites, half=False).card
    assert (card.license, card.notes) == ("CC0-1.0", "of kites")
    request = {"weights": of_kites, "out": tmp_path / "t.onnx", "license": "unknown", "accuracy": {}}
    convert({**request, "keypoint_set": "", "source": ""})
    card = artifact_card(tmp_path / "t.onnx")
    assert (card.license, card.notes) == ("CC0-1.0", "of kites")


def test_weights_are_unpickled_once(
    of_kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda file, **how: (opened.append(file), load(file, **how))[1])
    assert invoke("--weights", of_kites, "--no-verify", "--out", tmp_path / "t.onnx") is None
    assert opened == [of_kites]


@pytest.mark.parametrize("more", [[], ["--end2end", "pose"]])
def test_weights_that_name_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = invoke("--weights", "", "--out", "t.onnx", *more)
    assert isinstance(refused, InputError), refused
    assert "--weights or --detector is empty" in str(refused)
    for folder in (".", os.sep):
        refused = invoke("--weights", folder, "--out", "t.onnx", *more)
        assert isinstance(refused, ModelFileError), refused
        assert "not an MMDeploy SDK folder, deploy.json is missing" in str(refused)
    Path("t.onnx").touch()
    refused = invoke("--weights", ".", "--out", "u.onnx", *more)
    assert "found t.onnx. To use t.onnx, name it: " in str(refused)
    missing = invoke("--weights", "no/file.pth", "--out", "t.onnx", *more)
    assert "'no/file.pth' is neither a file" in str(missing)


def test_an_sdk_folder_may_be_the_one_we_are_in(
    detector_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(detector_folder)
    assert subject_from_artifact(Path(".")).card == artifact_card(detector_folder)


def test_weights_may_be_the_folder_of_a_run(of_kites: Path, tmp_path: Path) -> None:
    """As --init of `rtmpose train` takes it; it was said to be no MMDeploy SDK folder."""
    assert invoke("--weights", of_kites.parent, "--no-verify", "--out", tmp_path / "t.onnx") is None
    card = artifact_card(tmp_path / "t.onnx")
    assert (card.notes, card.weights_source) == ("of kites", "weights.pth")
    assert read_part(of_kites.parent, half=False).card.notes == "of kites"


def test_weights_that_are_an_artifact(tmp_path: Path) -> None:
    """They were said to be a damaged checkpoint."""
    card = new_card("rtmpose-t", (192, 256), "coco17")
    for suffix in (".engine", ".param"):
        file = tmp_path / f"t{suffix}"
        file.write_bytes(b"")
        card_beside(file).write_text(card.to_json())
        refused = invoke("--weights", file, "--out", tmp_path / "t.onnx")
        assert isinstance(refused, InputError), refused
        assert f"t{suffix}: fp32 {suffix}; expected a checkpoint (.pth) or an fp32 ONNX" in str(refused)


def test_what_can_be_told_at_once_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    """A slip in --out or --batch took five seconds of imports."""
    words = ["--weights", "none.pth", "--backend", "tensorrt"]
    for more, said in (
        (["--out", str(tmp_path / "no" / "t.engine")], "its folder does not exist"),
        (["--out", str(tmp_path / "t.engine"), "--batch", "4:2:8"], "batch 4:2:8 is not in order"),
    ):
        script = (
            "import sys\nfrom rtmpose_sdk.errors import RTMPoseError\n"
            "from rtmpose_sdk.exporters.cli import app\n"
            "try:\n    app(sys.argv[1:], standalone_mode=False)\n"
            "except RTMPoseError as error:\n    print(error, 'torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *words, *more], capture_output=True, text=True, check=True
        )
        assert said in done.stdout
        assert done.stdout.rstrip().endswith("False"), done.stdout


def test_a_name_that_another_backend_gives_its_files(tmp_path: Path) -> None:
    refused = invoke("--weights", "none.pth", "--out", tmp_path / "t.engine")
    assert isinstance(refused, InputError), refused
    assert "ends in .onnx (--backend onnx), or --backend tensorrt" in str(refused)


def test_capital_suffixes(tmp_path: Path) -> None:
    file = tmp_path / "UP.ONNX"
    shutil.copy(find_model("rtmpose-t-own"), file)
    for more in (["--storage", "fp16"], ["--end2end", "pose"]):
        assert invoke("--weights", file, "--no-verify", "--out", tmp_path / "t.onnx", *more) is None


def test_a_detectors_profile_begins_at_one_picture(tmp_path: Path) -> None:
    words = ("--weights", "rtmdet-nano-own", "--backend", "tensorrt", "--target", "sm86", "--no-verify")
    refused = invoke(*words, "--batch", "2:4:8", "--out", tmp_path / "d.engine")
    assert isinstance(refused, InputError), refused
    assert "batch 2:4:8: rtmdet-nano is a detector, which gets one picture at a time" in str(refused)
