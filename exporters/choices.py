"""What can be chosen from with `rtmpose-export`."""

from __future__ import annotations

import enum


class Backend(str, enum.Enum):
    """Engines that artifacts are made for: the keys of `BACKENDS`."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    NCNN = "ncnn"
    TORCH = "torch"


class Precision(str, enum.Enum):
    """What an artifact computes or stores in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class TensorRtFlavour(str, enum.Enum):
    """Which of the two engines of NVIDIA: the values of `Flavour`."""

    TENSORRT = "tensorrt"
    RTX = "tensorrt-rtx"


class InputKind(str, enum.Enum):
    """What the artifact takes."""

    IMAGE = "image"
    TENSOR = "tensor"


class EndToEnd(str, enum.Enum):
    """What one file does from the picture on."""

    POSE = "pose"
    DETECTOR = "detector"
    PIPELINE = "pipeline"
