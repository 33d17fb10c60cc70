"""MoveNet (Google's tflite file) on LiteRT: one person of a picture, without a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.peers.tflite import TfliteNetwork
from rtmpose_sdk.geometry import letterbox


class MovenetPeer:
    """Resize with margins, network, way back."""

    def __init__(self, file: Path, threads: int | None) -> None:
        self._network = TfliteNetwork(file, threads, "MoveNet", np.uint8, (1, 1, 17, 3))
        self.version = self._network.version

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1,17,2) px; COCO's keypoints."""
        side = self._network.side
        canvas, factors = letterbox(picture, (side, side), 0)
        [[points]] = self._network(canvas[..., ::-1])  # y, x, score; 0...1 of the input
        keypoints: NDArray[np.float32] = points[None, :, 1::-1] * side * factors[:2]
        return keypoints


open_peer = MovenetPeer
