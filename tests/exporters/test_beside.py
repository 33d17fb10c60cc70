"""Artifacts of two files say which weights are theirs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from rtmpose_sdk import Predictor
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.exporters.writers import replace_card
from rtmpose_sdk.hub.cache import sha256_of
from rtmpose_sdk.models import build_model
from rtmpose_sdk.zoo import find_model

BOX = np.array([[100, 50, 300, 450]], np.float32)


def exported(folder: Path, suffix: str, seed: int) -> Path:
    """RTMPose-t with weights of its own: a fresh network for ncnn, which needs one, else a changed file."""
    folder.mkdir()
    torch.manual_seed(seed)
    if suffix == ".param":
        network = build_model("rtmpose-t", keypoint_set="coco17", input_size=(64, 64)).eval()
        subject = Subject(new_card(network.name, network.input_size, "coco17"), network)
    else:
        model = onnx.load(str(find_model("rtmpose-t-own")))
        weights = max(model.graph.initializer, key=lambda w: len(w.raw_data))
        fresh = torch.randn(*weights.dims).numpy().astype(numpy_helper.to_array(weights).dtype)
        weights.CopyFrom(numpy_helper.from_array(fresh, weights.name))
        onnx.save(model, str(folder / "source.onnx"))
        subject = subject_from_artifact(folder / "source.onnx")
    export(
        subject,
        folder / f"t{suffix}",
        None,
        settings=ExportSettings({".xml": "openvino", ".param": "ncnn"}[suffix]),
    )
    return folder / f"t{suffix}"


@pytest.mark.parametrize("suffix", [".xml", ".param"])
def test_another_models_weights_are_refused(suffix: str, tmp_path: Path, photo: np.ndarray) -> None:
    pytest.importorskip({".xml": "openvino", ".param": "pnnx"}[suffix])
    one = exported(tmp_path / "a", suffix, 0)
    other = exported(tmp_path / "b", suffix, 1)
    with Predictor(one, threads=1) as predictor:
        predictor(photo, BOX)
    replace_card(one, replace(artifact_card(one), notes="a note"))  # the weights stay
    card = artifact_card(one)
    assert (card.beside_sha256, card.notes) == (sha256_of(one.with_suffix(".bin")), "a note")
    assert one.with_suffix(".bin").stat().st_size == other.with_suffix(".bin").stat().st_size
    shutil.copy(other.with_suffix(".bin"), one.with_suffix(".bin"))
    with pytest.raises(CardError, match=r"t\.bin, are not those that it was exported with; copy both"):
        Predictor(one, threads=1)
