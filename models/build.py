"""From a name to a network: the size tables, and the two kinds of model."""

from __future__ import annotations

from typing import Literal, NamedTuple, overload

from torch import Tensor, nn

from rtmpose_sdk.errors import InputError, ModelNotFoundError
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.models.cspnext import CSPNeXt
from rtmpose_sdk.models.pafpn import CSPNeXtPAFPN
from rtmpose_sdk.models.rtmdet_head import RTMDetSepBNHead
from rtmpose_sdk.models.rtmw_head import RTMWHead
from rtmpose_sdk.models.simcc_head import SimCCHead

SPLIT_RATIO = 2.0
"""SimCC bins per px of all released models."""
RTMW_NECK_BLOCKS = 2
STRIDE = 32


class Size(NamedTuple):
    """Factors of a size; the last two are RTMDet's."""

    widen: float
    deepen: float
    neck_blocks: int
    exp_on_reg: bool


SIZES = {
    "nano": Size(0.25, 0.33, 1, False),
    "tiny": Size(0.375, 0.167, 1, False),
    "s": Size(0.5, 0.33, 1, False),
    "m": Size(0.75, 0.67, 2, True),
    "l": Size(1.0, 1.0, 3, True),
    "x": Size(1.25, 1.33, 4, True),
}
"""RTMDet's and RTMPose's published configs; RTMPose calls tiny "t"."""

NAMES = (
    *(f"rtmpose-{size}" for size in "tsmlx"),
    *(f"rtmw-{size}" for size in "mlx"),
    *(f"rtmdet-{size}" for size in SIZES),
)
DEFAULT_POSE_SIZE = (192, 256)
DEFAULT_DETECT_SIZE = {"rtmdet-nano": (320, 320)}
_OTHER_DETECT_SIZE = (640, 640)


class PoseModel(nn.Module):
    """Backbone → (neck) → SimCC head."""

    task: Literal["pose"] = "pose"

    def __init__(
        self,
        name: str,
        keypoints: int,
        input_size: tuple[int, int],
        split_ratio: float = SPLIT_RATIO,
    ) -> None:
        super().__init__()
        self.name, self.keypoints, self.input_size = name, keypoints, input_size
        family, size = _split(name)
        self.backbone = CSPNeXt(size.widen, size.deepen)
        channels = self.backbone.out_channels
        self.head: nn.Module
        if family == "rtmw":
            self.neck = CSPNeXtPAFPN(channels, None, RTMW_NECK_BLOCKS)
            self.head = RTMWHead(channels[-1], keypoints, input_size, split_ratio)
        else:
            self.head = SimCCHead(channels[-1], keypoints, input_size, split_ratio)
        self.has_neck = family == "rtmw"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N,3,H,W), normalised RGB → SimCC (N,K,bins_x) and (N,K,bins_y)."""
        features = self.backbone(x)
        simcc: tuple[Tensor, Tensor] = self.head(self.neck(features) if self.has_neck else features)
        return simcc


class DetectModel(nn.Module):
    """Backbone → neck → SepBN head, for one class: person."""

    task: Literal["detect"] = "detect"

    def __init__(self, name: str, input_size: tuple[int, int]) -> None:
        super().__init__()
        self.name, self.input_size = name, input_size
        _, size = _split(name)
        depthwise = name == "rtmdet-nano"
        self.backbone = CSPNeXt(size.widen, size.deepen, depthwise)
        channels = self.backbone.out_channels
        self.neck = CSPNeXtPAFPN(channels, channels[0], size.neck_blocks, depthwise)
        self.bbox_head = RTMDetSepBNHead(channels[0], 1, depthwise, size.exp_on_reg)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N,3,H,W), normalised BGR → cls_8, cls_16, cls_32, bbox_8, bbox_16, bbox_32.

        cls are logits (N,1,H,W), bbox distances (N,4,H,W) in px.
        """
        levels: tuple[Tensor, ...] = self.bbox_head(self.neck(self.backbone(x)))
        return levels


def _split(name: str) -> tuple[str, Size]:
    """Family and size factors: "rtmpose-t" → ("rtmpose", those of tiny)."""
    family, _, size = name.partition("-")
    return family, SIZES["tiny" if family == "rtmpose" and size == "t" else size]


@overload
def build_model(
    name: str, *, keypoint_set: str | int, input_size: tuple[int, int] | None = None
) -> PoseModel: ...
@overload
def build_model(
    name: str, *, keypoint_set: None = None, input_size: tuple[int, int] | None = None
) -> DetectModel: ...
def build_model(
    name: str,
    *,
    keypoint_set: str | int | None = None,
    input_size: tuple[int, int] | None = None,
) -> PoseModel | DetectModel:
    """A network with random weights.

    Args:
        name: rtmpose-t/s/m/l/x, rtmw-m/l/x (pose), rtmdet-nano/tiny/s/m/l/x (detect).
        keypoint_set: a keypoint set's name or a number of keypoints; pose models need one.
        input_size: (width, height) px, multiples of 32; None takes 192x256 (pose), 320x320
            (rtmdet-nano), 640x640 (other detectors).

    Raises:
        ModelNotFoundError: unknown name; the message lists the names.
        InputError: a size or keypoint set that does not fit the model.
    """
    if name not in NAMES:
        raise ModelNotFoundError(f"unknown network '{name}'; known networks: {', '.join(NAMES)}")
    detect = name.startswith("rtmdet")
    size = input_size or (
        DEFAULT_DETECT_SIZE.get(name, _OTHER_DETECT_SIZE) if detect else DEFAULT_POSE_SIZE
    )
    if len(size) != 2 or any(type(s) is not int or s < STRIDE or s % STRIDE for s in size):
        raise InputError(f"input size {size}; expected (width, height) in multiples of {STRIDE} px")
    if detect:
        if keypoint_set is not None:
            raise InputError(f"{name} is a detector; it takes no keypoint set ('{keypoint_set}')")
        return DetectModel(name, size)
    if keypoint_set is None:
        raise InputError(f"{name} is a pose model; give keypoint_set=, for example 'coco17'")
    keypoints = keypoint_set if isinstance(keypoint_set, int) else len(get_keypoint_set(keypoint_set))
    if isinstance(keypoint_set, bool) or keypoints < 1:
        raise InputError(f"{keypoint_set} keypoints; expected 1 or more, or a keypoint set's name")
    return PoseModel(name, keypoints, size)
