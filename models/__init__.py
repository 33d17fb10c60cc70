"""PyTorch definitions of RTMPose, RTMW and RTMDet, and the way into them from published checkpoints."""

from rtmpose_sdk.models.build import NAMES, DetectModel, PoseModel, build_model
from rtmpose_sdk.models.checkpoint import load_checkpoint, load_state_dict, read_checkpoint, read_noted
from rtmpose_sdk.models.count import Count, count
from rtmpose_sdk.models.cspnext import FIRST_WEIGHT
from rtmpose_sdk.models.identify import Identity, identify

__all__ = [
    "FIRST_WEIGHT",
    "NAMES",
    "Count",
    "DetectModel",
    "Identity",
    "PoseModel",
    "build_model",
    "count",
    "identify",
    "load_checkpoint",
    "load_state_dict",
    "read_checkpoint",
    "read_noted",
]
