"""What `rtmpose train` lets choose from."""

from __future__ import annotations

import enum


class Task(str, enum.Enum):
    """What is trained."""

    POSE = "pose"
    DETECTOR = "detector"


class Head(str, enum.Enum):
    """Heads of the paper: RTMPose's, and those of Table 1."""

    RTMPOSE = "rtmpose"
    SIMCC_STAR = "simcc-star"
    SIMCC = "simcc"
    HEATMAP = "heatmap"


class Precision(str, enum.Enum):
    """Arithmetic of training."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Optimizer(str, enum.Enum):
    """AdamW is the paper's."""

    ADAMW = "adamw"
    MUON = "muon"


class Reduction(str, enum.Enum):
    """Of the SimCC loss over bins."""

    SUM = "sum"
    MEAN = "mean"


class Device(str, enum.Enum):
    """What trains."""

    CPU = "cpu"
    CUDA = "cuda"
