"""Networks that nobody published: own keypoints, own size, own split ratio; foreign ones are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rtmpose_sdk import Pipeline
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import CheckpointError, RTMPoseError
from rtmpose_sdk.models import build_model, identify
from rtmpose_sdk.models.build import HeadOptions


def refused(*arguments: object) -> str:
    """What `rtmpose export` says."""
    done = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert isinstance(done.exception, RTMPoseError), done.output
    return str(done.exception)


def test_one_command_and_no_config_file(tmp_path: Path, photo: np.ndarray) -> None:
    torch.manual_seed(0)
    network = build_model("rtmpose-t", keypoint_set=5, input_size=(128, 160), split_ratio=3.0)
    weights, out = tmp_path / "paws.pth", tmp_path / "paws.onnx"
    torch.save({"state_dict": network.state_dict()}, weights)
    asked = refused("--weights", weights, "--out", out, "--no-verify")
    assert (
        "has 5 keypoints, which no known set has; say which one it is (--keypoints of rtmpose export)"
        in asked
    )
    assert not out.exists()
    (tmp_path / "four.json").write_text('{"keypoints": ["a", "b", "c", "d"]}')
    wrong = refused("--weights", weights, "--out", out, "--keypoints", tmp_path / "four.json")
    assert "has 5 keypoints, but" in wrong
    (tmp_path / "five.json").write_text('{"keypoints": ["nose", "left_paw", "right_paw", "tail", "back"]}')
    words = ["--weights", weights, "--out", out, "--no-verify", "--keypoints", tmp_path / "five.json"]
    done = CliRunner().invoke(app, ["export", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with Pipeline(out, None, threads=1) as pipeline:
        result = pipeline(photo, "full")
        card = pipeline.predictor.card
    assert (card.input_size, card.simcc_split_ratio) == ((128, 160), 3.0)
    assert result.keypoint_set.names[3] == "tail"
    assert result.keypoint_set.flip_indices == (0, 2, 1, 3, 4)


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("name", ["rtmpose-s", "rtmw-m"])
def test_the_split_ratio_is_read_from_the_shapes(name: str, ratio: float) -> None:
    with torch.device("meta"):  # shapes, no values
        network = build_model(name, keypoint_set=7, input_size=(192, 256), split_ratio=ratio)
    found = identify(network.state_dict())
    assert (found.name, found.keypoints, found.input_size) == (name, 7, (192, 256))
    assert found.split_ratio == pytest.approx(ratio)


def test_published_pre_training_is_a_heatmap_network() -> None:
    network = build_model("rtmpose-m", keypoint_set="coco17", head=HeadOptions("heatmap", raw=True))
    found = identify(network.state_dict())
    assert (found.name, found.head, found.keypoints, found.input_size) == ("rtmpose-m", "heatmap", 17, None)
    with torch.no_grad():
        maps = network.eval()(torch.zeros(1, 3, 256, 192))
    assert maps.shape == (1, 17, 64, 48)
    assert not torch.allclose(maps.flatten(2).sum(-1), torch.ones(1, 17))  # no softmax


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("backbone.layer1.0.conv1.weight", "a ResNet of OpenMMLab"),
        ("backbone.stage2.0.branches.0.0.conv1.weight", "HRNet"),
        ("backbone.patch_embed.projection.weight", "a vision transformer"),
        (
            "bbox_head.multi_level_cls_convs.0.0.conv.weight",
            "YOLOX of MMDetection; take its published archive",
        ),
        ("head.cls_z.weight", "RTMW3D"),
        ("model.0.conv.weight", "Ultralytics"),
        ("something.weight", "what it is cannot be told"),
    ],
)
def test_foreign_networks_are_named(key: str, what: str) -> None:
    state = {key: torch.zeros(1)}
    if key.startswith(("head.", "bbox_head.")):
        state["backbone.stem.0.conv.weight"] = torch.zeros(12, 3, 3, 3)
    with pytest.raises(CheckpointError, match=f"not an RTMPose, RTMW or RTMDet network.*{what}"):
        identify(state)
