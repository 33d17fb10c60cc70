"""Other programs that do the same, behind one interface; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.pipeline import Pipeline

PEERS = ("rtmlib", "mmdeploy")
"""Run the files of our pipeline."""
FILE_PEERS = {"movenet": "predictor", "blazepose": "predictor", "picodet": "detector"}
"""Run a file of their own, NAME=FILE; what of ours does the same."""


class Peer(Protocol):
    """A picture (H,W,3) uint8 BGR → keypoints (N,K,2) px; a detector's boxes (N,4) px."""

    version: str

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Persons of one picture."""
        ...


def open_peer(name: str, pipeline: Pipeline) -> Peer:
    """A peer with as many threads as `pipeline`.

    Args:
        name: one of `PEERS`, which runs the same files; or NAME=FILE, one of `FILE_PEERS`.
        pipeline: ours.

    Raises:
        InputError: no such peer, a file for one that takes none, no detector, or files that it cannot read.
        MissingExtraError: it is not installed.
    """
    name, sign, file = name.partition("=")
    if name in PEERS and sign:
        raise InputError(
            f"--peer {name}={file}: {name} takes no file, it runs those of --pose and --detector; expected "
            f"--peer {name}"
        )
    if name in FILE_PEERS:
        if not file:
            raise InputError(f"--peer {name} runs a file of its own: --peer {name}=FILE")
        return _open(name)(Path(file), pipeline.top_down().runtime.threads)
    if name not in PEERS:
        own = (f"{each}=FILE" for each in FILE_PEERS)
        raise InputError(f"peer '{name}'; expected {', '.join((*PEERS, *own))}")
    if pipeline.detector is None:
        raise InputError(f"--peer {name} times whole pipelines; give --detector too")
    return _open(name)(pipeline)


def _open(name: str) -> Callable[..., Peer]:
    opener: Callable[..., Peer] = import_module(f"rtmpose_sdk.benchmarks.peers.{name}").open_peer
    return opener
