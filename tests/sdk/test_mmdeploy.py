"""MMDeploy SDK folders: a real one, a written one, and broken ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rtmpose_sdk.errors import CardError, ModelFileError
from rtmpose_sdk.mmdeploy import network_file, sdk_card
from rtmpose_sdk.runtimes import TensorSpec


def test_the_real_detector_folder(detector_folder: Path) -> None:
    card = sdk_card(detector_folder, ())
    assert card.task == "detect"
    assert card.input_size == (320, 320)
    assert card.color_order == "bgr"
    assert card.mean == (103.53, 116.28, 123.675)
    assert card.pad_value == 114
    assert card.score_threshold == 0.05
    assert card.nms_iou_threshold == 0.6
    assert card.weights_source == "rtmdet_nano_8xb32-300e_coco-person_in1kpretrain-96154d0b.pth"
    assert network_file(detector_folder).name == "end2end.onnx"


POSE_PIPELINE = {
    "pipeline": {
        "input": ["img"],
        "output": ["post_output"],
        "tasks": [
            {
                "type": "Task",
                "module": "Transform",
                "name": "Preprocess",
                "transforms": [
                    {"type": "LoadImageFromFile"},
                    {"type": "TopDownGetBboxCenterScale", "padding": 1.2, "image_size": [288, 384]},
                    {"type": "TopDownAffine", "image_size": [288, 384]},
                    {
                        "type": "Normalize",
                        "mean": [123.675, 116.28, 103.53],
                        "std": [58.395, 57.12, 57.375],
                        "to_rgb": True,
                    },
                ],
            },
            {"name": "topdownposeestimator", "type": "Task", "module": "Net"},
            {
                "type": "Task",
                "module": "mmpose",
                "name": "postprocess",
                "component": "SimCCLabelDecode",
                "params": {"flip_test": False, "simcc_split_ratio": 3.0, "input_size": [288, 384]},
            },
        ],
    }
}


@pytest.fixture
def pose_folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.json").write_text(json.dumps(POSE_PIPELINE))
    deploy = {
        "version": "1.0.0",
        "task": "PoseDetector",
        "models": [{"name": "rtmpose", "net": "end2end.onnx", "backend": "onnxruntime"}],
    }
    (tmp_path / "deploy.json").write_text(json.dumps(deploy))
    return tmp_path


def outputs(keypoints: int) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec("simcc_x", "float32", (None, keypoints, 576)),
        TensorSpec("simcc_y", "float32", (None, keypoints, 768)),
    )


def test_a_pose_folder(pose_folder: Path) -> None:
    card = sdk_card(pose_folder, outputs(26))
    assert card.task == "pose"
    assert card.input_size == (288, 384)
    assert card.color_order == "rgb"
    assert card.bbox_padding == 1.2
    assert card.simcc_split_ratio == 3.0
    assert card.keypoint_set == "halpe26"
    assert sdk_card(pose_folder, outputs(17)).keypoint_set == "coco17"
    detail = {"codebase": {"pth": "rtmpose-m_simcc-ap10k_pt-aic-coco_210e-256x256-7a041aa1.pth"}}
    (pose_folder / "detail.json").write_text(json.dumps(detail))
    assert sdk_card(pose_folder, outputs(17)).keypoint_set == "ap10k17"


def test_broken_folders(pose_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ModelFileError, match=r"deploy\.json is missing"):
        network_file(tmp_path_factory.mktemp("empty"))
    with pytest.raises(CardError, match="has 5 keypoints, which no known set has"):
        sdk_card(pose_folder, outputs(5))
    good = (pose_folder / "pipeline.json").read_text()
    (pose_folder / "pipeline.json").write_text(good.replace("SimCCLabelDecode", "UDPHeatmap"))
    with pytest.raises(CardError, match="UDPHeatmap"):
        sdk_card(pose_folder, outputs(17))
    (pose_folder / "pipeline.json").write_text(good.replace("Normalize", "Blur"))
    with pytest.raises(CardError, match="Normalize"):
        sdk_card(pose_folder, outputs(17))
    (pose_folder / "pipeline.json").write_text("{")
    with pytest.raises(ModelFileError, match="not JSON"):
        sdk_card(pose_folder, outputs(17))
    deploy = (pose_folder / "deploy.json").read_text()
    (pose_folder / "deploy.json").write_text(deploy.replace("end2end.onnx", "../secret.onnx"))
    with pytest.raises(ModelFileError, match="plain file name"):
        network_file(pose_folder)
    (pose_folder / "deploy.json").write_text(deploy.replace("end2end.onnx", "end2end.engine"))
    with pytest.raises(ModelFileError, match=r"expected an \.onnx file"):
        network_file(pose_folder)


def test_a_folder_without_its_network(detector_folder: Path, tmp_path: Path) -> None:
    from rtmpose_sdk import Detector

    for name in ("deploy.json", "pipeline.json"):
        shutil.copy(detector_folder / name, tmp_path / name)
    with pytest.raises(ModelFileError, match=r"end2end\.onnx"):
        Detector(tmp_path)


@pytest.mark.parametrize("models", [{}, [1], "x", [], [{}, {}]])
def test_a_deploy_file_without_one_model(pose_folder: Path, models: object) -> None:
    deploy = json.loads((pose_folder / "deploy.json").read_text())
    (pose_folder / "deploy.json").write_text(json.dumps({**deploy, "models": models}))
    with pytest.raises(ModelFileError, match="expected one model with its 'net' file"):
        network_file(pose_folder)


@pytest.mark.parametrize(("key", "value"), [("mean", ["a", 1, 2]), ("to_rgb", "false")])
def test_values_of_other_kinds_in_a_pipeline(pose_folder: Path, key: str, value: object) -> None:
    content = json.loads((pose_folder / "pipeline.json").read_text())
    (preprocess,) = [t for t in content["pipeline"]["tasks"] if t.get("module") == "Transform"]
    (normalize,) = [t for t in preprocess["transforms"] if t["type"] == "Normalize"]
    normalize[key] = value
    (pose_folder / "pipeline.json").write_text(json.dumps(content))
    with pytest.raises(CardError, match=r"pipeline\.json: not the pipeline of an RTMPose"):
        sdk_card(pose_folder, outputs(17))
