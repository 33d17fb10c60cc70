"""MMDeploy's SDK, on the same SDK folders."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.peers import Peer
from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.runtimes import allowed_cores

_PERSON = 0
_BOX_VALUES = 4


class MmdeployPeer:
    """Detector and PoseDetector of MMDeploy's SDK, with our threshold of boxes."""

    def __init__(self, detector: Any, pose: Any, threshold: float) -> None:
        self.version = f"mmdeploy-runtime {version('mmdeploy-runtime')}"
        self._detector, self._pose, self._threshold = detector, pose, threshold

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,K,2) px."""
        found, labels, _ = self._detector(picture)
        boxes = found[(labels == _PERSON) & (found[:, _BOX_VALUES] >= self._threshold), :_BOX_VALUES]
        if len(boxes) == 0:
            return np.empty((0, 0, 2), np.float32)
        return np.asarray(self._pose(picture, boxes)[..., :2], np.float32)


def open_peer(pipeline: Pipeline) -> Peer:
    """See `rtmpose_sdk.benchmarks.peers.open_peer`. Its threads are the system's cores."""
    try:
        import mmdeploy_runtime
    except ImportError:
        raise MissingExtraError("mmdeploy-runtime", "peers", "The peer mmdeploy") from None
    predictor, detector = pipeline.top_down(), pipeline.detector
    assert detector is not None
    threads = predictor.runtime.threads
    cores, allowed = os.cpu_count(), allowed_cores()
    if not threads == allowed == cores:
        raise InputError(
            f"MMDeploy's SDK starts as many threads as the system says there are cores ({cores}), however "
            f"few are allowed ({allowed}), and cannot be told: a fair comparison needs --threads, allowed "
            f"cores and cores to be equal, and --threads is {threads}. docs/benchmarks.md (Peers) shows "
            "how to hide cores from it"
        )
    folders = [network.runtime.path.parent for network in (predictor, detector)]
    for folder in folders:
        if not (folder / "pipeline.json").is_file():
            raise InputError(f"{folder}: the peer mmdeploy reads SDK folders (pipeline.json) only")
    pose, detect = map(str, folders)
    try:
        finder = mmdeploy_runtime.Detector(model_path=detect, device_name="cpu", device_id=0)
        poser = mmdeploy_runtime.PoseDetector(model_path=pose, device_name="cpu", device_id=0)
    except RuntimeError as error:
        raise InputError(
            f"the peer mmdeploy cannot open {detect} and {pose}: {error}. It says why above; it wants the "
            "files whole, as MMDeploy writes them, and ONNX of IR version 8 at most"
        ) from None
    return MmdeployPeer(finder, poser, detector.score_threshold)
