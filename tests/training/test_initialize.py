"""What are a network's weights before training?"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.keypoint_sets import keypoint_set_named
from rtmpose_sdk.models import build_model
from rtmpose_sdk.training.auxiliary import WithHeatmaps
from rtmpose_sdk.training.initialize import initialize, load_what_fits


@pytest.mark.parametrize("name", ["rtmpose-t", "rtmpose-t with heatmaps", "rtmw-m", "rtmdet-nano"])
def test_random_weights_depend_on_the_seed_alone(name: str) -> None:
    """A run that stopped between pre-training and the first save begins its main stage anew."""
    states = []
    for drawn_before in (3, 11):
        torch.manual_seed(drawn_before)
        if name.endswith("heatmaps"):
            network = WithHeatmaps("rtmpose-t", 5, (64, 64))
        elif name == "rtmdet-nano":
            network = build_model(name, input_size=(64, 64))
        else:
            network = build_model(name, keypoint_set=5, input_size=(64, 64))
        initialize(network, 3)
        states.append(network.state_dict())
    assert [key for key, value in states[0].items() if not torch.equal(value, states[1][key])] == []


@pytest.mark.parametrize("split_ratio", [2.0, 3.0])
def test_an_artifact_with_keypoints_of_ones_own_begins_a_run(split_ratio: float, tmp_path: Path) -> None:
    network = build_model("rtmpose-t", keypoint_set=5, input_size=(64, 64), split_ratio=split_ratio)
    initialize(network, 3)
    for parameter in network.parameters():
        if parameter.ndim == 1:  # equal ones would become one initializer
            parameter.data += torch.rand_like(parameter) / 10
    own = keypoint_set_named("horse", ("nose", "left_eye", "right_eye", "left_foot", "right_foot"))
    card = new_card("rtmpose-t", (64, 64), own, split_ratio=split_ratio)
    export(Subject(card, network.eval()), tmp_path / "own.onnx", None)
    student = build_model("rtmpose-t", keypoint_set=5, input_size=(64, 64), split_ratio=split_ratio)
    loaded = load_what_fits(student, tmp_path / "own.onnx")
    assert not loaded.other_shape
    assert not loaded.missing
