"""How well are people told apart? IDF1 (Ristani et al. 2016) and identity switches (CLEAR MOT)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import iou
from rtmpose_sdk.tracker import assign

Floats = NDArray[np.float32]
LEAST_IOU = 0.5


class People(NamedTuple):
    """The people of one frame: boxes (N,4) xyxy px and who they are (N,)."""

    boxes: Floats
    ids: NDArray[np.int64]


class Identity(NamedTuple):
    """Figures of one clip.

    Attributes:
        idf1: 0...1, F1 over boxes under the best one-to-one naming of all tracks.
        switches: how often a person goes on under another id than before.
        misses, ghosts: share of the true boxes not found; of the found boxes that are nobody's.
        ids: number of ids given.
    """

    idf1: float
    switches: int
    misses: float
    ghosts: float
    ids: int


def identity(truth: Sequence[People], found: Sequence[People]) -> Identity:
    """Figures of found people against the true ones, frame by frame."""
    together: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = matched = 0
    for true, seen in zip(truth, found, strict=True):
        overlap = iou(true.boxes, seen.boxes)
        for i, j in zip(*np.nonzero(overlap >= LEAST_IOU), strict=True):
            together[int(true.ids[i]), int(seen.ids[j])] += 1
        if not overlap.size:
            continue
        # Who was matched before stays matched where it still fits.
        for i, who in enumerate(true.ids.tolist()):
            keep = np.flatnonzero(seen.ids == last.get(who, -1))
            if len(keep) and overlap[i, keep[0]] >= LEAST_IOU:
                overlap[i, keep[0]] += 1
        for i, j in assign(np.minimum(overlap / 2, 1).astype(np.float32), LEAST_IOU / 2):
            who, name = int(true.ids[i]), int(seen.ids[j])
            switches += last.get(who, name) != name
            last[who] = name
            matched += 1
    persons = sorted({int(i) for frame in truth for i in frame.ids})
    names = sorted({int(i) for frame in found for i in frame.ids})
    total_true, total_found = (sum(len(f.ids) for f in frames) for frames in (truth, found))
    hits = 0
    if persons and names:
        table = np.array([[together[p, n] for n in names] for p in persons], np.float32)
        share = table / max(float(table.max()), 1.0)
        hits = int(sum(table[i, j] for i, j in assign(share, 1e-6)))
    both = total_true + total_found
    return Identity(
        2 * hits / both if both else 1.0,
        switches,
        1 - matched / max(total_true, 1),
        1 - matched / max(total_found, 1),
        len(names),
    )
