"""Which network is in a state dict? Its shapes tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from torch import Tensor

from rtmpose_sdk.errors import CheckpointError
from rtmpose_sdk.models.build import NAMES, SIZES, SPLIT_RATIO, STRIDE
from rtmpose_sdk.models.cspnext import FIRST_WEIGHT, STAGES
from rtmpose_sdk.models.heatmap_head import PAPER_DECONVS

_FINAL = ("head.final_layer.weight", "head.final_layer.conv.weight")
_MLP = ("head.mlp.1.weight",)
_LAST_DECONV = "head.deconv_layers.6.weight"
_FOREIGN = {
    "head.cls_z.weight": "RTMW3D or RTMPose3D (three SimCC axes); take its published ONNX file",
    "head.dcc.": "RTMO; take its published archive",
    "bbox_head.multi_level_cls_convs.": "YOLOX of MMDetection; take its published archive",
    "backbone.backbone.dark2.": "YOLOX of its authors",
    ".branches.0.0.conv1.weight": "HRNet",
    "backbone.layers.0.attn": "a vision transformer",
    "backbone.patch_embed.": "a vision transformer",
    "backbone.layer1.0.conv1": "a ResNet of OpenMMLab",
    "layer1.0.conv1": "a ResNet of torchvision",
    "model.0.conv.weight": "YOLOv5 or later of Ultralytics",
    "backbone.fpn": "a torchvision detector",
}
"""Parts of names that tell another network."""


class Identity(NamedTuple):
    """What is in a state dict.

    Attributes:
        name: the network.
        keypoints: of a pose model.
        input_size: (width, height) px of a SimCC model; heatmap heads take any.
        split_ratio: SimCC bins per px.
        head: "simcc"; "heatmap" is CSPNeXt's published pre-training.
    """

    name: str
    keypoints: int | None
    input_size: tuple[int, int] | None
    split_ratio: float = SPLIT_RATIO
    head: Literal["simcc", "heatmap"] = "simcc"

    def __str__(self) -> str:
        if self.keypoints is None or self.input_size is None:
            return self.name
        return f"{self.name}, {self.keypoints} keypoints, {self.input_size[0]}x{self.input_size[1]}"


def identify(state: Mapping[str, Tensor]) -> Identity:
    """Read family, size, keypoints and input size from the parameters' shapes.

    Raises:
        CheckpointError: not a network of this family; says what it looks like.
    """
    foreign = next((what for part, what in _FOREIGN.items() if any(part in name for name in state)), None)
    if FIRST_WEIGHT not in state or foreign is not None:
        looks = f"it looks like {foreign}" if foreign else "what it is cannot be told"
        raise CheckpointError(
            f"not an RTMPose, RTMW or RTMDet network: {looks}. Its {len(state)} tensors begin with "
            f"{', '.join(list(state)[:3])}"
        )
    stem = state[FIRST_WEIGHT].shape[0]
    width = STAGES[0][0] // 2
    fitting = [size for size, factors in SIZES.items() if int(width * 2 * factors.widen) // 2 == stem]
    if not fitting:
        raise CheckpointError(
            f"a CSPNeXt backbone with {stem} stem channels is of no published size (a pruned network?)"
        )
    size = fitting[0]
    if "bbox_head.rtm_cls.0.weight" in state:
        return Identity(f"rtmdet-{size}", None, None)
    final = next((state[k] for k in _FINAL if k in state), None)
    heatmap = _LAST_DECONV in state and state[_LAST_DECONV].shape[1] == PAPER_DECONVS[-1]
    if final is not None and heatmap and "head.cls_x.weight" not in state:
        return Identity(_pose_name("rtmpose", size), final.shape[0], None, head="heatmap")
    if "head.cls_x.weight" not in state or "head.cls_y.weight" not in state:
        raise CheckpointError(
            "a CSPNeXt backbone without a SimCC head or an RTMDet head: weights to begin a training with"
        )
    if final is None:
        raise CheckpointError("its SimCC head has no final_layer")
    family = "rtmw" if "head.conv_dec.conv.weight" in state else "rtmpose"
    bins = state["head.cls_x.weight"].shape[0], state["head.cls_y.weight"].shape[0]
    ratio = _split_ratio(state, bins)
    return Identity(
        _pose_name(family, size),
        final.shape[0],
        (round(bins[0] / ratio), round(bins[1] / ratio)),
        ratio,
    )


def _pose_name(family: str, size: str) -> str:
    name = f"{family}-{'t' if size == 'tiny' else size}"
    if name not in NAMES:
        raise CheckpointError(f"a {family} network of size {size}, which was never published")
    return name


def _split_ratio(state: Mapping[str, Tensor], bins: tuple[int, int]) -> float:
    """Bins per px: the head's first layer takes the cells of stride 32, which tell the area in px."""
    layer = next((state[k] for k in _MLP if k in state), None)
    if layer is None:
        return SPLIT_RATIO
    return math.sqrt(bins[0] * bins[1] / (layer.shape[1] * STRIDE**2))
