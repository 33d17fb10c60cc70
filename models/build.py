"""From a name to a network: the size tables, and the two kinds of model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

from torch import Tensor, nn

from rtmpose_sdk.errors import InputError, ModelNotFoundError
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.models.cspnext import CSPNeXt
from rtmpose_sdk.models.heatmap_head import PAPER_DECONVS, PRETRAINING_DECONVS, HeatmapHead
from rtmpose_sdk.models.pafpn import CSPNeXtPAFPN
from rtmpose_sdk.models.rtmdet_head import RTMDetSepBNHead
from rtmpose_sdk.models.rtmw_head import RTMWHead
from rtmpose_sdk.models.simcc_head import KERNEL_SIZE, BaselineSimCCHead, SimCCHead

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


HeadKind = Literal["rtmpose", "simcc-star", "simcc", "heatmap"]


@dataclass(frozen=True)
class HeadOptions:
    """Which head a pose network has; another than the default is for the paper's ablations.

    Attributes:
        kind: "rtmpose"; Table 1's "simcc-star", "simcc", "heatmap".
        kernel_size: of the last convolution of "rtmpose" (Table 2); odd.
        gau: False leaves out the Gated Attention Unit of "rtmpose".
        light: a heatmap head for pre-training: fewer, narrower deconvolutions than Table 1's.
        raw: a heatmap head whose maps are the answer as they are.
    """

    kind: HeadKind = "rtmpose"
    kernel_size: int = KERNEL_SIZE
    gau: bool = True
    light: bool = False
    raw: bool = False

    @property
    def gives_heatmaps(self) -> bool:
        """True where the network gives maps, False where it gives SimCC."""
        return self.kind == "heatmap"


class PoseModel(nn.Module):
    """Backbone → (neck) → head."""

    task: Literal["pose"] = "pose"

    def __init__(
        self,
        name: str,
        keypoints: int,
        input_size: tuple[int, int],
        split_ratio: float = SPLIT_RATIO,
        head: HeadOptions | None = None,
    ) -> None:
        super().__init__()
        self.name, self.keypoints, self.input_size = name, keypoints, input_size
        self.split_ratio = split_ratio
        family, size = _split(name)
        self.backbone = CSPNeXt(size.widen, size.deepen)
        channels = self.backbone.out_channels
        self.head: nn.Module
        self.head_options = options = head or HeadOptions()
        if family == "rtmw":
            self.neck = CSPNeXtPAFPN(channels, None, RTMW_NECK_BLOCKS)
            self.head = RTMWHead(channels[-1], keypoints, input_size, split_ratio)
        else:
            self.head = _rtmpose_head(options, channels[-1], keypoints, input_size, split_ratio)
        self.has_neck = family == "rtmw"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N,3,H,W), normalised RGB → SimCC (N,K,bins_x) and (N,K,bins_y), or heatmaps (N,K,h,w)."""
        outputs: tuple[Tensor, Tensor] = self.head(self.features(x))
        return outputs

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the head sees: features at strides 8, 16 and 32."""
        found: tuple[Tensor, Tensor, Tensor] = self.backbone(x)
        return self.neck(found) if self.has_neck else found


def _rtmpose_head(
    options: HeadOptions,
    channels: int,
    keypoints: int,
    input_size: tuple[int, int],
    split_ratio: float,
) -> nn.Module:
    if options.kind == "rtmpose":
        return SimCCHead(channels, keypoints, input_size, split_ratio, options.kernel_size, options.gau)
    if options.kind == "heatmap":
        deconvs = PRETRAINING_DECONVS if options.light else PAPER_DECONVS
        return HeatmapHead(channels, keypoints, deconvs, options.raw)
    upsampling = () if options.kind == "simcc-star" else PAPER_DECONVS
    return BaselineSimCCHead(channels, keypoints, input_size, split_ratio, upsampling)


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


def default_input_size(name: str) -> tuple[int, int]:
    """(width, height) px that a network was published with.

    Raises:
        ModelNotFoundError: unknown name; the message lists the names.
    """
    if name not in NAMES:
        raise ModelNotFoundError(f"unknown network '{name}'; known networks: {', '.join(NAMES)}")
    if name.startswith("rtmdet"):
        return DEFAULT_DETECT_SIZE.get(name, _OTHER_DETECT_SIZE)
    return DEFAULT_POSE_SIZE


@overload
def build_model(
    name: str,
    *,
    keypoint_set: str | int,
    input_size: tuple[int, int] | None = None,
    head: HeadOptions | None = None,
    split_ratio: float = SPLIT_RATIO,
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
    head: HeadOptions | None = None,
    split_ratio: float = SPLIT_RATIO,
) -> PoseModel | DetectModel:
    """A network with random weights.

    Args:
        name: rtmpose-t/s/m/l/x, rtmw-m/l/x (pose), rtmdet-nano/tiny/s/m/l/x (detect).
        keypoint_set: a keypoint set's name or a number of keypoints; pose models need one.
        input_size: (width, height) px, multiples of 32; None takes 192x256 (pose), 320x320
            (rtmdet-nano), 640x640 (other detectors).
        head: an RTMPose's; None is the published one.
        split_ratio: SimCC bins per px of a pose model.

    Raises:
        ModelNotFoundError: unknown name; the message lists the names.
        InputError: a size or keypoint set that does not fit the model.
    """
    published = default_input_size(name)
    size = input_size or published
    detect = name.startswith("rtmdet")
    if len(size) != 2 or any(type(s) is not int or s < STRIDE or s % STRIDE for s in size):
        raise InputError(f"input size {size}; expected (width, height) in multiples of {STRIDE} px")
    if detect:
        if keypoint_set is not None:
            raise InputError(f"{name} is a detector; it takes no keypoint set ('{keypoint_set}')")
        if head is not None:
            raise InputError(f"{name} is a detector; it takes no head options")
        return DetectModel(name, size)
    if head is not None and (name.startswith("rtmw") or head.kernel_size % 2 == 0 or head.kernel_size < 1):
        raise InputError(
            f"{name} with kernel size {head.kernel_size}: head options are for RTMPose, and the kernel "
            "size is odd and positive"
        )
    if keypoint_set is None:
        raise InputError(f"{name} is a pose model; give keypoint_set=, for example 'coco17'")
    keypoints = keypoint_set if isinstance(keypoint_set, int) else len(get_keypoint_set(keypoint_set))
    if isinstance(keypoint_set, bool) or keypoints < 1:
        raise InputError(f"{keypoint_set} keypoints; expected 1 or more, or a keypoint set's name")
    return PoseModel(name, keypoints, size, split_ratio, head)
