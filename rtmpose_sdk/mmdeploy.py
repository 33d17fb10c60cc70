"""Which model card does an MMDeploy SDK folder (deploy.json, pipeline.json, network) describe?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import CardError, InputError, ModelFileError
from rtmpose_sdk.keypoint_sets import keypoint_set_of
from rtmpose_sdk.runtimes import TensorSpec

_DETECT_TASKS = ("Detector",)
_POSE_TASKS = ("PoseDetector",)
_DEFAULT_PAD_VALUE = 114
"""What MMDetection's RTMDet configs pad with."""


def network_file(folder: Path) -> Path:
    """The network that deploy.json names.

    Raises:
        ModelFileError: no SDK folder, or a network of another engine than ONNX Runtime.
    """
    deploy = _read(folder, "deploy.json")
    models = deploy.get("models") or [{}]
    net = models[0].get("net")
    if len(models) != 1 or not isinstance(net, str):
        raise ModelFileError(f"{folder / 'deploy.json'}: expected one model with its 'net' file")
    if Path(net).suffix != ".onnx":
        raise ModelFileError(
            f"{folder}: its network {net} is for {models[0].get('backend')}; expected an .onnx file"
        )
    if Path(net).name != net:
        raise ModelFileError(f"{folder / 'deploy.json'}: 'net' is {net!r}; expected a plain file name")
    return folder / net


def sdk_card(folder: Path, outputs: tuple[TensorSpec, ...]) -> ModelCard:
    """The card that pipeline.json describes.

    Args:
        folder: the SDK folder.
        outputs: the opened network's outputs; their shapes tell the keypoint set.

    Raises:
        CardError: a pipeline that is not one of RTMPose's or RTMDet's.
    """
    deploy, pipeline = _read(folder, "deploy.json"), _read(folder, "pipeline.json")
    try:
        tasks = pipeline["pipeline"]["tasks"]
        preprocess = next(t for t in tasks if t.get("module") == "Transform")
        transforms: dict[str, dict[str, Any]] = {}
        for step in preprocess["transforms"]:  # the first of a kind: a second Pad only aligns sizes
            transforms.setdefault(step["type"], step)
        post = next(t for t in tasks if t.get("name") == "postprocess")
        normalize = transforms["Normalize"]
        common: dict[str, Any] = {
            "name": str(deploy["models"][0].get("name", folder.name)),
            "color_order": "rgb" if normalize["to_rgb"] else "bgr",
            "mean": tuple(normalize["mean"]),
            "std": tuple(normalize["std"]),
            "input_layout": "nchw",
            "input_dtype": "float32",
            "weights_source": _checkpoint(folder),
        }
        if deploy.get("task") in _DETECT_TASKS:
            return _detect_card(common, transforms, post, folder)
        if deploy.get("task") in _POSE_TASKS:
            return _pose_card(common, transforms, post, outputs, folder)
    except (KeyError, StopIteration, TypeError, AttributeError, IndexError) as error:
        raise CardError(
            f"{folder / 'pipeline.json'}: not the pipeline of an RTMPose or RTMDet model "
            f"(missing or of another kind: {error})"
        ) from None
    raise CardError(
        f"{folder / 'deploy.json'}: task '{deploy.get('task')}'; expected "
        f"{' or '.join(_DETECT_TASKS + _POSE_TASKS)}"
    )


def _detect_card(
    common: dict[str, Any], transforms: dict[str, Any], post: dict[str, Any], folder: Path
) -> ModelCard:
    resize, params = transforms["Resize"], post["params"]
    if not resize["keep_ratio"]:
        raise CardError(f"{folder}: Resize without keep_ratio; only letterboxed detectors are known")
    size = transforms.get("Pad", resize).get("size") or resize["size"]
    pad = transforms.get("Pad", {}).get("pad_val", _DEFAULT_PAD_VALUE)
    levels = pad["img"] if isinstance(pad, dict) else pad
    return ModelCard(
        **common,
        task="detect",
        input_size=(int(size[0]), int(size[1])),
        decoder="mmdeploy_dets",
        pad_value=int(levels[0] if isinstance(levels, list) else levels),
        score_threshold=float(params["score_thr"]),
        nms_iou_threshold=float(params["nms"]["iou_threshold"]),
        max_detections=int(params["max_per_img"]),
    )


def _pose_card(
    common: dict[str, Any],
    transforms: dict[str, Any],
    post: dict[str, Any],
    outputs: tuple[TensorSpec, ...],
    folder: Path,
) -> ModelCard:
    if post.get("component") != "SimCCLabelDecode":
        raise CardError(
            f"{folder}: decoder '{post.get('component')}' is not known; expected SimCCLabelDecode"
        )
    size = transforms["TopDownAffine"]["image_size"]
    return ModelCard(
        **common,
        task="pose",
        input_size=(int(size[0]), int(size[1])),
        decoder="simcc",
        bbox_padding=float(transforms["TopDownGetBboxCenterScale"].get("padding", 1.25)),
        simcc_split_ratio=float(post["params"]["simcc_split_ratio"]),
        keypoint_set=_keypoint_set(outputs, folder),
    )


def _keypoint_set(outputs: tuple[TensorSpec, ...], folder: Path) -> str:
    """By the number of keypoints that the network puts out, and its checkpoint's name."""
    count = outputs[0].shape[1] if len(outputs[0].shape) == 3 else None
    try:
        return keypoint_set_of(count, _checkpoint(folder) or str(folder))
    except InputError as error:
        raise CardError(str(error)) from None


def _checkpoint(folder: Path) -> str:
    """Name of the checkpoint that the network was exported from; "" where nothing tells."""
    if not (folder / "detail.json").is_file():
        return ""
    pth = _read(folder, "detail.json").get("codebase", {}).get("pth", "")
    return str(pth).replace("\\", "/").rsplit("/", 1)[-1]


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    if not file.is_file():
        raise ModelFileError(
            f"{folder}: not an MMDeploy SDK folder, {name} is missing; expected deploy.json, "
            "pipeline.json and the network"
        )
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{file}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ModelFileError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content
