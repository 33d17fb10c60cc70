"""What tests of graphs share: running one on ONNX Runtime, and how far its keypoints moved."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from rtmpose_sdk.decode_simcc import decode_simcc


def run_graph(model: onnx.ModelProto, images: np.ndarray, optimized: bool = True) -> list[np.ndarray]:
    """Outputs, in batches of 16; `optimized` is False for ONNX Runtime that fuses nothing."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = model.graph.input[0].name
    batches = [session.run(None, {name: images[i : i + 16]}) for i in range(0, len(images), 16)]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def keypoint_drift(want: list[np.ndarray], have: list[np.ndarray]) -> np.ndarray:
    """How far each keypoint moved, px of the crop."""
    points = [decode_simcc(x, y, 2.0, 10.0).keypoints for x, y in (want, have)]
    return np.abs(points[0] - points[1]).max(axis=-1).ravel()
