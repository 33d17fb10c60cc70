"""rtmlib's own code, on the same ONNX files."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.peers import Peer
from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.pipeline import Pipeline


class RtmlibPeer:
    """RTMDet and RTMPose of rtmlib as its own `Body` chains them."""

    def __init__(self, detector: Any, pose: Any) -> None:
        self.version = f"rtmlib {version('rtmlib')}"
        self._detector, self._pose = detector, pose

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,K,2) px. Nobody found: rtmlib takes the whole picture for a person; here it is empty."""
        boxes = self._detector(picture)
        if len(boxes) == 0:
            return np.empty((0, 0, 2), np.float32)
        keypoints, _ = self._pose(picture, bboxes=boxes)
        return np.asarray(keypoints, np.float32)


def open_peer(pipeline: Pipeline) -> Peer:
    """See `rtmpose_sdk.benchmarks.peers.open_peer`.

    Its sessions take all cores; they are opened with the pipeline's number of threads instead.
    """
    try:
        import onnxruntime
        import rtmlib
    except ImportError as error:
        raise MissingExtraError(error.name or "rtmlib", "peers", "The peer rtmlib") from None
    predictor, detector = pipeline.top_down(), pipeline.detector
    assert detector is not None
    for network in (predictor, detector):
        if network.card.takes_image or not network.runtime.engine.startswith("onnxruntime"):
            raise InputError(
                f"{network.runtime.path.name}: rtmlib needs ONNX that takes a tensor, on ONNX Runtime; "
                "export with rtmpose-export --input tensor"
            )
    if {"dets", "labels"} - {output.name for output in detector.runtime.outputs}:
        raise InputError(f"{detector.runtime.path.name}: rtmlib needs a detector with NMS in its graph")
    if predictor.runtime.device.kind != "cpu":
        raise InputError("the peer rtmlib is timed on the processor only; leave out --device")
    session, threads = onnxruntime.InferenceSession, predictor.runtime.threads

    def limited(*arguments: Any, **named: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return session(*arguments, **{**named, "sess_options": options})

    onnxruntime.InferenceSession = limited
    try:
        return RtmlibPeer(
            rtmlib.RTMDet(str(detector.runtime.path), detector.card.input_size, backend="onnxruntime"),
            rtmlib.RTMPose(str(predictor.runtime.path), predictor.card.input_size, backend="onnxruntime"),
        )
    finally:
        onnxruntime.InferenceSession = session
