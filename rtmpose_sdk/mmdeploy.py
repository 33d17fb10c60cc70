"""Which model card does an MMDeploy SDK folder (deploy.json, pipeline.json, network) describe?

Every entry of the pipeline that changes a number is obeyed, or refused by name: none is passed over.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtmpose_sdk.card import RTMPOSE_BETA, RTMW_BETA, ModelCard
from rtmpose_sdk.errors import CardError, InputError, ModelFileError
from rtmpose_sdk.keypoint_sets import keypoint_set_of
from rtmpose_sdk.runtimes import TensorSpec

Measure = Callable[[tuple[int, int]], tuple[TensorSpec, ...]]
Count = Callable[[int, int, tuple[int, int]], int | None]
_DETECT_TASKS = ("Detector",)
_POSE_TASKS = ("PoseDetector",)
_SUFFIXES = (".onnx", ".xml")
_DEFAULT_PAD_VALUE = 114
"""What MMDetection's RTMDet configs pad with."""
_MMDEPLOY_PAD_VALUE = 0
"""What MMDeploy's Pad pads with where nothing is said."""
_REFUSED = {
    ("TopDownAffine", "use_udp"): "crops by UDP",
    ("postprocess", "export_postprocess"): "a network with the decoder in its graph",
    ("postprocess", "use_dark"): "SimCC refined by DARK",
}
"""What would move keypoints and is not done here; published models have none of it."""


def network_file(folder: Path) -> Path:
    """The network that deploy.json names.

    Raises:
        ModelFileError: no SDK folder, or a network of another engine than ONNX Runtime and OpenVINO.
    """
    deploy = _read(folder, "deploy.json")
    models = deploy.get("models")
    one = models[0] if isinstance(models, list) and len(models) == 1 else None
    net = one.get("net") if isinstance(one, dict) else None
    if one is None or not isinstance(net, str):
        raise ModelFileError(f"{folder / 'deploy.json'}: expected one model with its 'net' file")
    if Path(net).suffix not in _SUFFIXES:
        raise ModelFileError(
            f"{folder}: its network {net} is for {one.get('backend')}; expected an .onnx file or an "
            "OpenVINO .xml"
        )
    if Path(net).name != net:
        raise ModelFileError(f"{folder / 'deploy.json'}: 'net' is {net!r}; expected a plain file name")
    return folder / net


def sdk_card(
    folder: Path,
    outputs: tuple[TensorSpec, ...],
    inputs: tuple[TensorSpec, ...] = (),
    origin: str = "",
    measure: Measure | None = None,
) -> ModelCard:
    """The card that pipeline.json describes.

    Args:
        folder: the SDK folder.
        outputs: the opened network's outputs; their shapes tell the keypoint set.
        inputs: its inputs; a fixed size decides where the pipeline contradicts itself.
        origin: the archive's name, where there is one; it tells the keypoint set, too.
        measure: outputs with their true sizes for an input size (width, height); asked where MMDeploy left
            the number of keypoints open.

    Raises:
        CardError: a pipeline that is not one of RTMPose's, RTMO's or a detector's.
    """
    deploy, pipeline = _read(folder, "deploy.json"), _read(folder, "pipeline.json")
    try:
        tasks = pipeline["pipeline"]["tasks"]
        preprocess = next(t for t in tasks if t.get("module") == "Transform")
        transforms: dict[str, dict[str, Any]] = {}
        for step in preprocess["transforms"]:  # the first of a kind: a second Pad only aligns sizes
            transforms.setdefault(step["type"], step)
        post = next(t for t in tasks if t.get("name") == "postprocess")
        _refuse({**transforms, "postprocess": post.get("params", {})}, folder)
        net: dict[str, Any] = next((t for t in tasks if t.get("module") == "Net"), {})
        outputs = _renamed(outputs, net)
        normalize = transforms["Normalize"]
        common: dict[str, Any] = {
            "name": str(deploy["models"][0].get("name", folder.name)),
            "color_order": "rgb" if _is_true(normalize["to_rgb"]) else "bgr",
            "mean": tuple(map(float, normalize["mean"])),
            "std": tuple(map(float, normalize["std"])),
            "input_layout": "nchw",
            "input_dtype": "float32",
            "weights_source": _checkpoint(folder) or origin,
        }
        if deploy.get("task") in _DETECT_TASKS:
            return _detect_card(common, transforms, post, folder)
        if deploy.get("task") in _POSE_TASKS:
            made = _one_stage_card if any(len(spec.shape) == 4 for spec in outputs) else _pose_card

            def count(axis: int, dims: int, size: tuple[int, int]) -> int | None:
                """Keypoints: what the file says, else what a run gives."""
                specs = outputs
                first = next((s for s in specs if len(s.shape) == dims), None)
                if first is not None and first.shape[axis] is None and measure is not None:
                    specs = _renamed(measure(size), net)
                return next((s.shape[axis] for s in specs if len(s.shape) == dims), None)

            return made(common, transforms, post, count, inputs, folder)
    except CardError:
        raise
    except (KeyError, StopIteration, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CardError(
            f"{folder / 'pipeline.json'}: not the pipeline of an RTMPose or RTMDet model "
            f"(missing or of another kind: {error})"
        ) from None
    raise CardError(
        f"{folder / 'deploy.json'}: task '{deploy.get('task')}'; expected "
        f"{' or '.join(_DETECT_TASKS + _POSE_TASKS)}"
    )


def _is_true(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r}, where true or false is expected")
    return value


def _refuse(steps: dict[str, dict[str, Any]], folder: Path) -> None:
    for (step, key), what in _REFUSED.items():
        if steps.get(step, {}).get(key):
            raise CardError(f"{folder / 'pipeline.json'}: {step} has {key}, that is {what}; not supported")


def _renamed(outputs: tuple[TensorSpec, ...], net: dict[str, Any]) -> tuple[TensorSpec, ...]:
    """Outputs under the names that the SDK knows them by; `output_map` is SDK's name → network's."""
    names = {str(theirs): str(ours) for ours, theirs in (net.get("output_map") or {}).items()}
    return tuple(TensorSpec(names.get(s.name, s.name), s.dtype, s.shape) for s in outputs)


def _detect_card(
    common: dict[str, Any], transforms: dict[str, Any], post: dict[str, Any], folder: Path
) -> ModelCard:
    resize, params = transforms["Resize"], post["params"]
    if not resize["keep_ratio"]:
        raise CardError(f"{folder}: Resize without keep_ratio; only letterboxed detectors are known")
    size = transforms.get("Pad", resize).get("size") or resize["size"]
    return ModelCard(
        **common,
        task="detect",
        input_size=(int(size[0]), int(size[1])),
        decoder="mmdeploy_dets",
        pad_value=_pad_value(transforms),
        score_threshold=float(params["score_thr"]),
        nms_iou_threshold=float(params["nms"]["iou_threshold"]),
        max_detections=int(params.get("max_per_img", 100)),
    )


def _pad_value(transforms: dict[str, Any]) -> int:
    if "Pad" not in transforms:
        return _DEFAULT_PAD_VALUE
    pad = transforms["Pad"].get("pad_val", _MMDEPLOY_PAD_VALUE)
    levels = pad["img"] if isinstance(pad, dict) else pad
    return int(levels[0] if isinstance(levels, list) else levels)


def _pose_card(
    common: dict[str, Any],
    transforms: dict[str, Any],
    post: dict[str, Any],
    count: Count,
    inputs: tuple[TensorSpec, ...],
    folder: Path,
) -> ModelCard:
    if post.get("component") != "SimCCLabelDecode":
        raise CardError(
            f"{folder}: decoder '{post.get('component')}' is not known; expected SimCCLabelDecode"
        )
    boxes, params = transforms["TopDownGetBboxCenterScale"], post["params"]
    said = {
        "TopDownAffine": transforms["TopDownAffine"]["image_size"],
        "TopDownGetBboxCenterScale": boxes.get("image_size"),
        "postprocess": params.get("input_size"),
    }
    size = _size(said, inputs, folder)
    return ModelCard(
        **common,
        task="pose",
        input_size=size,
        decoder="simcc",
        crop="mmdeploy",
        bbox_padding=float(boxes.get("padding", 1.25)),
        simcc_split_ratio=float(params.get("simcc_split_ratio", 2.0)),
        simcc_beta=RTMW_BETA if "rtmw" in common["weights_source"] else RTMPOSE_BETA,
        keypoint_set=_keypoint_set(count(1, 3, size), common["weights_source"] or str(folder)),
    )


def _one_stage_card(
    common: dict[str, Any],
    transforms: dict[str, Any],
    post: dict[str, Any],
    count: Count,
    inputs: tuple[TensorSpec, ...],
    folder: Path,
) -> ModelCard:
    resize = transforms.get("BottomupResize") or transforms.get("Resize") or {}
    params = post.get("params", {})
    size = _size({"Resize": resize.get("input_size") or resize.get("size")}, inputs, folder)
    return ModelCard(
        **common,
        task="pose",
        decoder="rtmo",
        input_size=size,
        pad_value=_pad_value({"Pad": resize} if "pad_val" in resize else transforms),
        score_threshold=float(params.get("score_thr", 0.05)),
        nms_iou_threshold=float(params.get("nms_thr", 0.65)),
        keypoint_set=_keypoint_set(count(2, 4, size), common["weights_source"] or str(folder)),
    )


def _size(said: dict[str, Any], inputs: tuple[TensorSpec, ...], folder: Path) -> tuple[int, int]:
    """(width, height) px. Some published archives contradict themselves; their network decides."""
    sizes = {name: (int(v[0]), int(v[1])) for name, v in said.items() if v}
    distinct = set(sizes.values())
    height, width = inputs[0].shape[2:] if inputs and len(inputs[0].shape) == 4 else (None, None)
    if len(distinct) == 1:
        return distinct.pop()
    text = ", ".join(f"{name} says {w}x{h}" for name, (w, h) in sizes.items()) or "nothing says a size"
    if width is not None and height is not None and (not sizes or (width, height) in distinct):
        if sizes:
            warnings.warn(
                f"{folder / 'pipeline.json'} contradicts itself: {text}; the network takes "
                f"{width}x{height}, "
                "and that is used",
                stacklevel=2,
            )
        return width, height
    raise CardError(f"{folder / 'pipeline.json'}: which input size is meant? {text}")


def _keypoint_set(count: int | None, origin: str) -> str:
    """By the number of keypoints that the network puts out, and its checkpoint's name."""
    try:
        return keypoint_set_of(count, origin)
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
