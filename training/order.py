"""Which samples does a step see? Every sample once in an epoch, shuffled anew; a pure function."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray


def sample_order(count: int, batch: int, step: int, seed: int) -> NDArray[np.intp]:
    """(batch,) numbers of the samples of one step.

    Epochs follow each other without a gap: a batch may hold the end of one and the start of the next.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    return sample_at(count, positions, seed)


def sample_at(count: int, positions: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Numbers of the samples at some positions of the endless order."""
    epochs, places = np.divmod(positions, count)
    return np.array([_epoch(count, int(e), seed)[p] for e, p in zip(epochs, places, strict=True)], np.intp)


@functools.lru_cache(maxsize=3)
def _epoch(count: int, epoch: int, seed: int) -> NDArray[np.intp]:
    return np.random.default_rng((seed, epoch)).permutation(count)
