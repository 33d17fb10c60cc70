"""ncnn by the way that users take: through the gate, and from the command line. A small random network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")

from rtmpose_sdk import Predictor
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.cli import app
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.models import build_model

SIZE = (64, 96)
FILES = {"t.param", "t.bin", "t.param.card.json"}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = build_model("rtmpose-t", keypoint_set="coco17", input_size=SIZE)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.4 / parameter[0].numel() ** 0.5)
    return network.eval()


@pytest.mark.parametrize(
    ("precision", "arithmetic"),
    [("fp32", "fp32"), (None, "fp32"), ("int8", "int8, the rest fp32")],
)
def test_through_the_gate(
    network: nn.Module, photo: np.ndarray, tmp_path: Path, precision: str | None, arithmetic: str
) -> None:
    card = new_card("rtmpose-t", SIZE, "coco17")
    crops = verification_images(card, None, None, 16)
    settings = ExportSettings("ncnn", precision, calibration=crops[:8] if precision == "int8" else None)
    found = export(Subject(card, network), tmp_path / "t.param", crops, settings=settings)
    assert found is not None
    assert (found.what, found.crops, found.not_finite) == ("artifact", 16, 0)
    assert found.verified, found
    assert {file.name for file in tmp_path.iterdir()} == FILES
    written = artifact_card(tmp_path / "t.param")
    assert written.precision == (precision or "fp16")
    assert written.verification["verified"] is found.verified
    assert written.verification["engine"].startswith("ncnn")
    assert (max(found.largest_difference.values()) > 1e-2) == (precision == "int8")  # it is what was asked
    with Predictor(tmp_path / "t.param", threads=1) as predictor:
        assert predictor.runtime.arithmetic == arithmetic
        assert f"1 threads, {arithmetic}:" in repr(predictor.runtime)
        assert predictor(photo, [[90, 5, 360, 500]]).keypoints.shape == (1, 17, 2)


def test_from_the_command_line(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    torch.save(network.state_dict(), tmp_path / "t.pth")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "t.param"
    arguments = ["--weights", str(tmp_path / "t.pth"), "--backend", "ncnn", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "artifact against reference (fp16-storage)" in done.output
    assert "rtmpose-t 64x96 coco17" in done.output
    assert {file.name for file in out.parent.iterdir()} == FILES
    assert artifact_card(out).verification["verified"] is True
    done = CliRunner().invoke(app, [*arguments, "--storage", "fp16"])
    assert isinstance(done.exception, InputError)
    assert "with --backend ncnn say --precision fp16" in str(done.exception)
