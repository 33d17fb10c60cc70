"""What `rtmpose train` lets choose from."""

from __future__ import annotations

import enum

POSE, DETECTOR, RUN = "Pose", "Detector", "Where and how it runs"
"""Panels of the help; the options of the first two are for that task alone."""


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

    @property
    def of_fabric(self) -> str:
        """As `lightning_fabric` calls it."""
        return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[self.value]


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
