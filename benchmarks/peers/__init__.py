"""Other programs that do the same, behind one interface; each is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import Pipeline

PEERS = ("rtmlib", "mmdeploy")


class Peer(Protocol):
    """A whole pipeline: a picture (H,W,3) uint8 BGR → keypoints (N,K,2) px."""

    version: str

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Persons of one picture."""
        ...


def open_peer(name: str, pipeline: Pipeline) -> Peer:
    """A peer that runs the same files as `pipeline`, with as many threads.

    Raises:
        InputError: no such peer, no detector, or files that it cannot read.
        MissingExtraError: it is not installed.
    """
    if name not in PEERS:
        raise InputError(f"peer '{name}'; expected {', '.join(PEERS)}")
    if pipeline.detector is None:
        raise InputError(f"--peer {name} times whole pipelines; give --detector too")
    peer: Peer = import_module(f"rtmpose_sdk.benchmarks.peers.{name}").open_peer(pipeline)
    return peer
