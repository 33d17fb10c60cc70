"""BlazePose's landmark network (Google's tflite file) on LiteRT: the person who fills a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.peers.tflite import TfliteNetwork
from rtmpose_sdk.geometry import letterbox

_LANDMARKS, _VALUES = 33, 5
"""39 of x, y, z, visibility, presence; the last six are for its tracker."""


class BlazeposePeer:
    """Resize with margins, network, way back."""

    def __init__(self, file: Path, threads: int | None) -> None:
        self._network = TfliteNetwork(file, threads, "BlazePose", np.float32, (1, 195))
        self.version = self._network.version

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1,33,2) px; BlazePose's own keypoints."""
        side = self._network.side
        canvas, factors = letterbox(picture, (side, side), 0)
        [values] = self._network(canvas[..., ::-1] * np.float32(1 / 255))
        keypoints: NDArray[np.float32] = values.reshape(1, -1, _VALUES)[:, :_LANDMARKS, :2] * factors[:2]
        return keypoints


open_peer = BlazeposePeer
