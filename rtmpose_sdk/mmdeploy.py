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
from rtmpose_sdk.errors import CardError, InputError, ModelFileError, RTMPoseWarning
from rtmpose_sdk.keypoint_sets import keypoint_set_of, keypoint_set_with, read_keypoint_set
from rtmpose_sdk.runtimes import TensorSpec

Measure = Callable[[tuple[int, int]], tuple[TensorSpec, ...]]
Count = Callable[[int, int, tuple[int, int]], int | None]
_DETECT_TASKS = ("Detector",)
_POSE_TASKS = ("PoseDetector",)
_SUFFIXES = (".onnx", ".xml")
_SHOWN = 5
KEYPOINTS = "keypoints.json"
"""File of a folder that says which keypoints the network gives, where it is known: MMDeploy writes none."""
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
_OBEYED = ("TopDownGetBboxCenterScale", "TopDownAffine", "BottomupResize", "Resize", "Pad", "Normalize")
_WITHOUT_EFFECT = (
    *("LoadImage", "LoadImageFromFile", "LoadImageFromNDArray", "LoadAnnotations", "ToTensor"),
    *("ImageToTensor", "DefaultFormatBundle", "Collect", "PackPoseInputs", "PackDetInputs"),
)
"""Steps that read a picture or hand it on, and change no number of it."""


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
            "weights_source": _exported_from(folder, "pth") or origin,
        }
        if deploy.get("task") in _DETECT_TASKS:
            return _detect_card(common, transforms, post, folder)
        if deploy.get("task") in _POSE_TASKS:
            one_stage = any(len(spec.shape) == 3 for spec in outputs) and any(
                len(spec.shape) == 4 for spec in outputs
            )
            made = _one_stage_card if one_stage else _pose_card

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
    unknown = [step for step in steps if step not in (*_OBEYED, *_WITHOUT_EFFECT, "postprocess")]
    if unknown:
        raise CardError(
            f"{folder / 'pipeline.json'}: has the step {unknown[0]}, which is not done here; those that "
            f"are: {', '.join(_OBEYED)}"
        )
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
            f"{folder}: decoder '{post.get('component')}' is not known; expected SimCCLabelDecode. A "
            f"network that gives heatmaps is run by a card: rtmpose card new {folder / 'end2end.onnx'}"
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
        simcc_beta=RTMW_BETA if "rtmw" in _hints(common, folder) else RTMPOSE_BETA,
        **_keypoints(count(1, 3, size), _hints(common, folder), folder),
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
        **_keypoints(count(2, 4, size), _hints(common, folder), folder),
    )


def _size(said: dict[str, Any], inputs: tuple[TensorSpec, ...], folder: Path) -> tuple[int, int]:
    """(width, height) px: the network's, where it takes but one; published archives may say others."""
    sizes = {name: (int(v[0]), int(v[1])) for name, v in said.items() if v}
    text = ", ".join(f"{name} says {w}x{h}" for name, (w, h) in sizes.items()) or "nothing says a size"
    height, width = inputs[0].shape[2:] if inputs and len(inputs[0].shape) == 4 else (None, None)
    if width is not None and height is not None:
        if any(size != (width, height) for size in sizes.values()):
            warnings.warn(
                f"{folder / 'pipeline.json'} contradicts itself or its network: {text}; the network takes "
                f"{width}x{height}, and that is used",
                RTMPoseWarning,
                stacklevel=2,
            )
        return width, height
    if len(set(sizes.values())) == 1:
        return next(iter(sizes.values()))
    raise CardError(f"{folder / 'pipeline.json'}: which input size is meant? {text}")


def _keypoints(count: int | None, hints: str, folder: Path) -> dict[str, Any]:
    """The card's fields: as `KEYPOINTS` says, else by the number that the network gives and `_hints`."""
    file = folder / KEYPOINTS
    if not file.is_file():
        try:
            return {"keypoint_set": keypoint_set_of(count, hints)}
        except InputError:
            raise CardError(
                f"{folder}: its network gives {count} keypoints, and which these are cannot be told; say "
                f'it in {file}: {{"keypoints": ["left_ear", "right_ear", ...], "skeleton": [["left_ear", '
                '"right_ear"], ...]}'
            ) from None
    try:
        points = read_keypoint_set(file)
    except InputError as error:
        raise CardError(str(error)) from None
    if count not in (None, len(points)):
        raise CardError(f"{file}: has {len(points)} keypoints, but the network gives {count}")
    known = keypoint_set_with(points.names)
    if known is not None:
        return {"keypoint_set": known.name}
    return {"keypoint_set": points.name, "keypoint_definition": points.definition()}


def _hints(common: dict[str, Any], folder: Path) -> str:
    """What tells a network's family and keypoints: its checkpoint's and config's names, or its folder's."""
    return f"{common['weights_source']} {_exported_from(folder, 'config')}".strip() or folder.name


def _exported_from(folder: Path, what: str) -> str:
    """Name of the file, "pth" or "config", that the network was exported from; "" where nothing tells."""
    if not (folder / "detail.json").is_file():
        return ""
    file = _read(folder, "detail.json").get("codebase", {}).get(what, "")
    return str(file).replace("\\", "/").rsplit("/", 1)[-1]


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    if not file.is_file():
        there = sorted(place.name for place in folder.glob("*"))
        artifacts = [each for each in there if each.endswith(_SUFFIXES)]
        advice = f". To use {artifacts[0]}, name it: {folder / artifacts[0]}" if artifacts else ""
        raise ModelFileError(
            f"{folder}: not an MMDeploy SDK folder, {name} is missing; expected deploy.json, "
            f"pipeline.json and the network, found {', '.join(there[:_SHOWN]) or 'nothing'}{advice}"
        )
    try:
        content = json.loads(file.read_text("utf-8-sig"))  # Windows marks the order of bytes
    except ValueError as error:
        raise ModelFileError(f"{file}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ModelFileError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content
