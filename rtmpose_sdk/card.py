"""What must be known to run a model and to trust it: the ModelCard that travels inside the artifact."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.keypoint_sets import KeypointSet, get_keypoint_set, keypoint_set_from
from rtmpose_sdk.values import is_number, is_whole

CARD_VERSION = 4
CARD_KEY = "rtmpose_card"
"""Name of the metadata entry that holds the card's JSON (ONNX metadata, OpenVINO rt_info)."""
END2END_KEY = "rtmpose_end2end"
"""Name of the entry that says which kind of end2end artifact a file is: pose, detector, pipeline."""

IMAGENET_MEAN_RGB, IMAGENET_STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""In 0-255 units; what the published RTMPose (RGB) and RTMDet (the same, as BGR) were trained with."""
RTMPOSE_BETA, RTMW_BETA = 10.0, 1.0
"""1/tau of the loss in the published configs (paper, Table 3). In RTMW only the labels are sharpened, so
scores reach 5 to 6."""

OF_FP32 = ", of the fp32 model"
"""End of a name in `accuracy`: its figure is of the model that this one, of lower precision, is made of."""

Task = Literal["pose", "detect"]
ColorOrder = Literal["rgb", "bgr"]
POSE_DECODERS = ("simcc", "simcc3d", "heatmap", "rtmo")
Layout = Literal["nhwc", "nchw"]
Peak = Literal["dark", "quarter"]
Letterbox = Literal["full", "fitted"]
Decoder = Literal["simcc", "simcc3d", "heatmap", "rtmo", "boxes", "boxes_nms", "mmdeploy_dets", "yolox"]
"""How outputs are read.

simcc: `simcc_x` (N,K,bins_x), `simcc_y` (N,K,bins_y). heatmap: one map per keypoint, the output
of four dimensions (N,K,h,w). boxes: `boxes` (N,A,4) xyxy px of the network
input and `scores` (N,A), NMS outside. boxes_nms: `boxes` (M,4), `scores` (M,), `batch_index` (M,),
NMS done in the graph. mmdeploy_dets: MMDeploy's `dets` (N,M,5) and `labels` (N,M), NMS done.
simcc3d: simcc and `simcc_z` (N,K,bins_z), depths. yolox: YOLOX's raw head, (N,A,5+classes). rtmo: one
stage, `dets` (N,M,5) and `keypoints` (N,M,K,3), px of the network input.
"""
FITTING: tuple[Decoder, ...] = ("boxes", "boxes_nms", "mmdeploy_dets")
"""Decoders that do not ask for one input size: what letterboxes that fit are for."""


PRECISIONS = ("fp32", "fp16", "int8")
"""What an artifact may be exported in."""
HOLDS_CARD = (".onnx", ".xml", ".pt2")
"""Files that can have the card inside; what is inside counts, not what lies beside."""
CARD_BESIDE = (".param", ".engine")
"""Files that cannot."""
ARTIFACTS = (*HOLDS_CARD, *CARD_BESIDE)
_TEXTS = (
    *("name", "keypoint_set", "weights_sha256", "weights_source", "license", "notes"),
    "beside_sha256",
)
_POSITIVE = ("bbox_padding", "simcc_split_ratio", "simcc_beta", "simcc_z_range")
_SHARES = ("score_threshold", "nms_iou_threshold")
_OBJECTS = ("keypoint_definition", "accuracy", "verification")
_VAST, _WHITE, _CHANNELS = 1e4, 255, 3


@dataclass(frozen=True)
class ModelCard:
    """Everything that is needed to run a model and to trust it, and nothing the caller has to know.

    Attributes:
        name: the network, for example "rtmpose-t".
        task: "pose" or "detect".
        input_size: (width, height) of the network input in px.
        decoder: how the outputs are read, see `Decoder`.
        color_order: order of the channels that the network was trained on.
        mean, std: per channel in that order, in 0-255 units.
        input_layout, input_dtype: what the artifact takes. ("nhwc", "uint8") is a BGR picture as
            OpenCV gives it: colour order and normalisation are inside the graph. ("nchw", "float32")
            is a normalised tensor in `color_order`.
        precision: "fp32", "fp16" or "int8": what the artifact was exported in. On OpenVINO and ncnn fp16
            is how the weights are stored; the arithmetic is chosen when it is opened.
        float_layers: layers that an int8 artifact leaves in float, because they cost accuracy.
        keypoint_set: name of the keypoint set (pose), else "".
        crop: how a box is cut out: "affine" is MMPose's, "mmdeploy" the whole px of MMDeploy's SDK.
        bbox_padding: factor by which a box grows before it is cropped (pose; MMPose 1.25).
        keypoint_definition: the keypoint set itself, where the SDK's table does not have it
            (`KeypointSet.definition`).
        simcc_split_ratio: SimCC bins per input pixel (paper section 3.1; released models 2).
        simcc_beta: 1/tau that the outputs were trained with (paper section 3.4, eq. 5): RTMPose 10,
            RTMW 1. The softmax of beta * output is a probability.
        heatmap_udp: cells were numbered from the outermost pixel centers (UDP), so that cell i is input
            px i * (W - 1) / (w - 1); else it is i * W / w.
        heatmap_peak: how a peak between cells is found: "dark" (Zhang et al. 2020) or "quarter", a quarter
            of a cell towards the higher neighbour, as older networks were published with.
        simcc_z_range: m from the root to either end of the third SimCC axis (RTMPose3D's codec).
        score_threshold, nms_iou_threshold, max_detections: detector defaults.
        strides: detector strides in px.
        pad_value: letterbox fill, grey level (detect, and pose in one stage).
        letterbox: "full" fills a picture up to `input_size`; "fitted" only to the next multiples of the
            largest stride, for which the artifact leaves its sides open: less to compute, but for squares.
        weights_sha256, weights_source: the weights' file hash and where it came from.
        beside_sha256: of the `.bin` beside an artifact of two files (OpenVINO, ncnn), so that no other
            model's is taken for it; "" where there is none, or it is not known.
        license: SPDX name, or "unknown".
        accuracy: measured figures, free-form ("coco_val_dev AP (ground-truth boxes)": 0.252).
        verification: what the exporter measured against the PyTorch model, and `verified`.
        notes: a sentence for the person who finds this file.
    """

    name: str
    task: Task
    input_size: tuple[int, int]
    decoder: Decoder
    color_order: ColorOrder
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_layout: Layout
    input_dtype: Literal["uint8", "float32"]
    precision: str = "fp32"
    float_layers: tuple[str, ...] = ()
    keypoint_set: str = ""
    keypoint_definition: Mapping[str, Any] = field(default_factory=dict)
    bbox_padding: float = 1.25
    crop: Literal["affine", "mmdeploy"] = "affine"
    simcc_split_ratio: float = 2.0
    simcc_beta: float = RTMPOSE_BETA
    heatmap_udp: bool = False
    heatmap_peak: Peak = "dark"
    simcc_z_range: float = 2.1744869
    score_threshold: float = 0.05
    nms_iou_threshold: float = 0.6
    max_detections: int = 100
    strides: tuple[int, ...] = (8, 16, 32)
    pad_value: int = 114
    letterbox: Letterbox = "full"
    weights_sha256: str = ""
    weights_source: str = ""
    beside_sha256: str = ""
    license: str = "unknown"
    accuracy: Mapping[str, float] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    version: int = CARD_VERSION

    def __post_init__(self) -> None:
        for wrong in self._wrong_values():
            raise CardError(f"card of '{self.name}': {wrong}")
        self._check("task", self.task, get_args(Task))
        self._check("decoder", self.decoder, get_args(Decoder))
        self._check("color_order", self.color_order, get_args(ColorOrder))
        self._check("heatmap_peak", self.heatmap_peak, get_args(Peak))
        self._check("crop", self.crop, ("affine", "mmdeploy"))
        self._check("letterbox", self.letterbox, get_args(Letterbox))
        if self.letterbox == "fitted" and self.decoder not in FITTING:
            raise CardError(
                f"card of '{self.name}': letterbox 'fitted' is not for decoder '{self.decoder}', which "
                "knows one input size; expected 'full'"
            )
        if (self.input_layout, self.input_dtype) not in (("nhwc", "uint8"), ("nchw", "float32")):
            raise CardError(
                f"card of '{self.name}': input {self.input_layout}/{self.input_dtype} is not known; "
                "expected nhwc/uint8 (a BGR picture) or nchw/float32 (a normalised tensor)"
            )
        if (self.task == "pose") != (self.decoder in POSE_DECODERS):
            raise CardError(
                f"card of '{self.name}': decoder '{self.decoder}' does not belong to task '{self.task}'"
            )
        if self.task == "pose" and not self.keypoint_set:
            raise CardError(f"card of '{self.name}': a pose model needs a keypoint_set")

    def _wrong_values(self) -> Iterator[str]:
        """Which fields are not of their kinds, and what is expected of them."""
        checks: tuple[tuple[str, Callable[[Any], bool], tuple[str, ...]], ...] = (
            ("text", _is_text, _TEXTS),
            ("a positive number", lambda v: _is_positive(v) and v < _VAST, _POSITIVE),
            ("a number 0...1", lambda v: is_number(v) and 0 <= v <= 1, _SHARES),
            ("a whole number, at least 1", lambda v: is_whole(v, 1), ("max_detections", "version")),
            ("a grey level 0...255", lambda v: is_whole(v) and v <= _WHITE, ("pad_value",)),
            ("(width, height) in px", lambda v: _are(v, _is_side) and len(v) == 2, ("input_size",)),
            ("the strides in px", lambda v: _are(v, _is_side), ("strides",)),
            ("three finite numbers", lambda v: _are(v, is_number) and len(v) == _CHANNELS, ("mean",)),
            ("three positive numbers", lambda v: _are(v, _is_positive) and len(v) == _CHANNELS, ("std",)),
            ("true or false", lambda v: isinstance(v, bool), ("heatmap_udp",)),
            ("names of layers", lambda v: v == () or _are(v, _is_text), ("float_layers",)),
            ("an object", lambda v: isinstance(v, Mapping), _OBJECTS),
        )
        for expected, good, fields in checks:
            for field_name in fields:
                value = getattr(self, field_name)
                if not good(value):
                    yield f"{field_name} is {value!r:.60}; expected {expected}"
        if self.precision not in PRECISIONS:
            yield f"precision is '{self.precision}'; expected {', '.join(PRECISIONS)}"

    def _check(self, key: str, value: str, known: tuple[str, ...]) -> None:
        if value not in known:
            raise CardError(f"card of '{self.name}': {key} '{value}' is not one of {', '.join(known)}")

    @property
    def takes_image(self) -> bool:
        """True where the artifact takes uint8 BGR pictures, False where it takes a float tensor."""
        return self.input_dtype == "uint8"

    @property
    def letterbox_step(self) -> int | None:
        """What the sides of a fitted letterbox are multiples of, px; None where it is full."""
        return max(self.strides) if self.letterbox == "fitted" else None

    def keypoints(self) -> KeypointSet:
        """The keypoint set of a pose model.

        Raises:
            CardError: the SDK does not know it, and the card does not define it.
        """
        try:
            if self.keypoint_definition:
                return keypoint_set_from(self.keypoint_set, self.keypoint_definition)
            return get_keypoint_set(self.keypoint_set)
        except InputError as error:
            raise CardError(f"card of '{self.name}': {error}") from None

    def to_json(self) -> str:
        """The card as one JSON object, of this SDK's version."""
        values = {**dataclasses.asdict(self), "version": CARD_VERSION}
        return json.dumps(values, indent=1, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, origin: str) -> ModelCard:
        """Read a card.

        Args:
            text: JSON as `to_json` writes it.
            origin: the file it came from, for the error messages.

        Raises:
            CardError: not a card, a field that is missing or unknown, or a later version.
        """
        try:
            raw = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            raise CardError(f"{origin}: its model card is not JSON ({error})") from None
        if not isinstance(raw, dict):
            raise CardError(f"{origin}: its model card is {type(raw).__name__}, expected an object")
        version = raw.get("version")
        if not isinstance(version, int):
            raise CardError(
                f"{origin}: its model card has no version; it is none that rtmpose-export wrote"
            )
        if version > CARD_VERSION:
            raise CardError(
                f"{origin}: its model card has version {version!r}, this SDK reads up to "
                f"{CARD_VERSION}; update with: pip install -U rtmpose-sdk"
            )
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(raw) - set(known))
        missing = sorted(
            name
            for name, f in known.items()
            if name not in raw
            and f.default is dataclasses.MISSING
            and f.default_factory is dataclasses.MISSING
        )
        if unknown or missing:
            wrong = [f"has unknown fields {unknown}"] * bool(unknown) + [f"lacks {missing}"] * bool(missing)
            raise CardError(
                f"{origin}: its model card {' and '.join(wrong)}; correct it, or export the model again "
                "with rtmpose-export"
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        try:
            return cls(**values)
        except CardError as error:
            raise CardError(f"{origin}: {error}") from None
        except TypeError as error:
            raise CardError(f"{origin}: its model card has a field of a wrong type ({error})") from None


def _are(values: Any, good: Callable[[Any], bool]) -> bool:
    """At least one, and all of them good."""
    return isinstance(values, tuple) and len(values) > 0 and all(map(good, values))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _is_side(value: Any) -> bool:
    return is_whole(value, 1)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
