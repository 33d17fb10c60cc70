"""MMDeploy SDK folders: a real one, a written one, and broken ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rtmpose_sdk.errors import CardError, ModelFileError
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.mmdeploy import network_file, sdk_card
from rtmpose_sdk.runtimes import TensorSpec
from rtmpose_sdk.zoo import find_model


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


@pytest.mark.parametrize(
    ("config", "count", "keypoint_set", "beta"),
    [
        (
            "configs/animal_2d_keypoint/rtmpose/ap10k/rtmpose-m_8xb64-210e_ap10k-256x256.py",
            17,
            "ap10k17",
            10,
        ),
        ("rtmpose/rtmw-l_8xb320-270e_cocktail14-384x288.py", 133, "coco_wholebody133", 1),
        ("D:\\mine\\rtmpose-m_8xb256-420e_coco-256x192.py", 17, "coco17", 10),
    ],
)
def test_a_folder_of_ones_own_training(
    pose_folder: Path, config: str, count: int, keypoint_set: str, beta: float
) -> None:
    """MMPose calls its checkpoints all alike; the config's name says what they are."""
    detail = {"codebase": {"pth": "work_dirs/mine/best_coco_AP_epoch_210.pth", "config": config}}
    (pose_folder / "detail.json").write_text(json.dumps(detail))
    card = sdk_card(pose_folder, outputs(count))
    assert (card.keypoint_set, card.simcc_beta) == (keypoint_set, beta)
    assert card.weights_source == "best_coco_AP_epoch_210.pth"


def test_broken_folders(pose_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ModelFileError, match=r"deploy\.json is missing"):
        network_file(tmp_path_factory.mktemp("empty"))
    with pytest.raises(CardError, match=r"gives 5 keypoints, and which.*say it in .*keypoints\.json"):
        sdk_card(pose_folder, outputs(5))
    good = (pose_folder / "pipeline.json").read_text()
    (pose_folder / "pipeline.json").write_text(good.replace("SimCCLabelDecode", "UDPHeatmap"))
    with pytest.raises(CardError, match="UDPHeatmap"):
        sdk_card(pose_folder, outputs(17))
    (pose_folder / "pipeline.json").write_text(good.replace("Normalize", "Collect"))
    with pytest.raises(CardError, match="Normalize"):
        sdk_card(pose_folder, outputs(17))
    (pose_folder / "pipeline.json").write_text(good.replace("LoadImageFromFile", "CenterCrop"))
    with pytest.raises(CardError, match=r"has the step CenterCrop, which is not done here"):
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


def test_a_folder_says_which_keypoints_it_has(pose_folder: Path) -> None:
    """MMDeploy writes only their number, which no set of ours has, or several."""
    file = pose_folder / "keypoints.json"
    file.write_text('{"name": "paws", "keypoints": ["nose", "left_paw", "right_paw"]}', "utf-8-sig")
    card = sdk_card(pose_folder, outputs(3))
    assert (card.keypoint_set, card.keypoints().flip_indices) == ("paws", (0, 2, 1))
    with pytest.raises(CardError, match=r"keypoints\.json: has 3 keypoints, but the network gives 17"):
        sdk_card(pose_folder, outputs(17))
    file.write_text(json.dumps({"keypoints": get_keypoint_set("ap10k17").names}))
    card = sdk_card(pose_folder, outputs(17))
    assert (card.keypoint_set, card.keypoint_definition) == ("ap10k17", {})
    file.write_text("{}")
    with pytest.raises(CardError, match=r"keypoints.*expected keypoints"):
        sdk_card(pose_folder, outputs(17))


def test_a_folder_of_heatmaps(pose_folder: Path) -> None:
    """Its one output has four dimensions, as one of RTMO's two has."""
    pipeline = pose_folder / "pipeline.json"
    pipeline.write_text(pipeline.read_text().replace("SimCCLabelDecode", "HeatmapDecode"))
    with pytest.raises(CardError, match=r"decoder 'HeatmapDecode' is not known.*rtmpose card new"):
        sdk_card(pose_folder, (TensorSpec("output", "float32", (None, 17, 64, 48)),))


def test_json_with_the_mark_that_windows_writes(pose_folder: Path) -> None:
    for name in ("deploy.json", "pipeline.json"):
        (pose_folder / name).write_text((pose_folder / name).read_text(), "utf-8-sig")
    assert sdk_card(pose_folder, outputs(17)).keypoint_set == "coco17"


def test_a_folder_in_folders_as_archives_unpack(pose_folder: Path, tmp_path: Path) -> None:
    deep = tmp_path / "downloads" / "20230831" / "rtmpose_onnx"
    deep.mkdir(parents=True)
    (tmp_path / "downloads" / "__MACOSX").mkdir()
    for name in ("deploy.json", "pipeline.json"):
        shutil.move(pose_folder / name, deep / name)
    assert find_model(tmp_path / "downloads") == deep
    (tmp_path / "downloads" / "other").mkdir()
    with pytest.raises(ModelFileError, match=r"deploy\.json is missing.*found 20230831, __MACOSX, other"):
        network_file(find_model(tmp_path / "downloads"))


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
