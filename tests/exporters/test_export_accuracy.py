"""Whose figures are in the card of an artifact of lower precision?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.exporters.export import MEASURED, export, of_fp32
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.zoo import find_model

GIVEN = {"AP (COCO)": 65.9}
MARKED = {"AP (COCO), of the fp32 model": 65.9}


@pytest.fixture(scope="module")
def subject() -> Subject:
    plain = subject_from_artifact(find_model("rtmpose-t-own"))
    return dataclasses.replace(plain, card=dataclasses.replace(plain.card, accuracy=GIVEN))


@pytest.mark.parametrize(
    ("backend", "name", "precision", "want"),
    [
        ("onnx", "m.onnx", "fp32", GIVEN),
        ("onnx", "m.onnx", "fp16", MARKED),
        ("openvino", "m.xml", "fp16", MARKED),
    ],
)
def test_figures_say_whose_they_are(
    subject: Subject, tmp_path: Path, backend: str, name: str, precision: str, want: dict[str, float]
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    export(subject, tmp_path / name, None, settings=ExportSettings(backend, precision))
    assert dict(artifact_card(tmp_path / name).accuracy) == want


def test_what_was_measured_is_the_artifacts(subject: Subject, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    crops = np.random.default_rng(0).integers(0, 255, (2, 256, 192, 3), np.uint8)
    found = export(
        subject,
        tmp_path / "m.xml",
        crops,
        settings=ExportSettings("openvino", "fp16"),
        measure=lambda _: 0.61,
    )
    assert found is not None
    assert dict(artifact_card(tmp_path / "m.xml").accuracy) == {**MARKED, MEASURED: 0.61}


def test_a_mark_is_set_once() -> None:
    assert of_fp32(of_fp32(GIVEN)) == MARKED
