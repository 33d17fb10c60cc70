"""Which network is in a state dict? Its shapes tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from rtmpose_sdk.errors import CheckpointError
from rtmpose_sdk.models.build import NAMES, SIZES, SPLIT_RATIO
from rtmpose_sdk.models.cspnext import STAGES

_STEM = "backbone.stem.0.conv.weight"


class Identity(NamedTuple):
    """A network's name; number of keypoints and input size (width, height) of a pose model."""

    name: str
    keypoints: int | None
    input_size: tuple[int, int] | None

    def __str__(self) -> str:
        if self.keypoints is None or self.input_size is None:
            return self.name
        return f"{self.name}, {self.keypoints} keypoints, {self.input_size[0]}x{self.input_size[1]}"


def identify(state: Mapping[str, Tensor]) -> Identity:
    """Read family, size, keypoints and input size from the parameters' shapes.

    Raises:
        CheckpointError: not a network of this family.
    """
    if _STEM not in state:
        raise CheckpointError(
            f"not an RTMPose, RTMW or RTMDet network: there is no '{_STEM}' among its "
            f"{len(state)} tensors (first: {', '.join(list(state)[:3])})"
        )
    stem = state[_STEM].shape[0]
    width = STAGES[0][0] // 2
    fitting = [size for size, factors in SIZES.items() if int(width * 2 * factors.widen) // 2 == stem]
    if not fitting:
        raise CheckpointError(f"a backbone with {stem} stem channels is of no published size")
    size = fitting[0]
    if "bbox_head.rtm_cls.0.weight" in state:
        return Identity(f"rtmdet-{size}", None, None)
    if "head.cls_x.weight" not in state or "head.cls_y.weight" not in state:
        raise CheckpointError("neither a SimCC head nor an RTMDet head is in it")
    final = next((state[k] for k in _FINAL if k in state), None)
    if final is None:
        raise CheckpointError("its SimCC head has no final_layer")
    family = "rtmw" if "head.conv_dec.conv.weight" in state else "rtmpose"
    name = f"{family}-{'t' if size == 'tiny' else size}"
    if name not in NAMES:
        raise CheckpointError(f"a {family} network of size {size}, which was never published")
    bins = state["head.cls_x.weight"].shape[0], state["head.cls_y.weight"].shape[0]
    return Identity(
        name,
        final.shape[0],
        (int(bins[0] / SPLIT_RATIO), int(bins[1] / SPLIT_RATIO)),
    )


_FINAL = ("head.final_layer.weight", "head.final_layer.conv.weight")
