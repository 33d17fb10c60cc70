"""MPII's annotations as MMPose publishes them, in COCO's form, and PCKh of what is found on them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.benchmarks.matched import Matched
from rtmpose_sdk.benchmarks.metrics.pckh import GROUPS, HEAD_SHARE, LEFT_OUT, pckh
from rtmpose_sdk.errors import InputError, MissingExtraError

HEAD = "bbox_head"
"""Key of a person's head box, xywh px, as in PoseTrack's annotations."""
_SIZE = 200.0
"""px of a person of scale 1 (MPII)."""
_LOWER = 15.0
"""px of scale 1 by which MPII's evaluations move a person's middle down."""


def is_mpii(content: Any) -> bool:
    """Whether a json's content is a list of persons with joints (MMPose's `mpii_val.json`)."""
    return isinstance(content, list) and any(isinstance(row, dict) and "joints" in row for row in content)


def has_heads(truth: dict[str, Any], names: Sequence[str]) -> bool:
    """Whether PCKh can be told: head boxes, and the joints that it speaks of."""
    joints = {*LEFT_OUT, *(joint for group in GROUPS.values() for joint in group)}
    return joints <= set(names) and any(HEAD in row for row in truth["annotations"])


def to_coco(rows: list[Any], file: Path, names: Sequence[str]) -> dict[str, Any]:
    """COCO's form of MMPose's MPII rows: 0-based pixels, square boxes of the scale, head boxes.

    Head boxes come from the rows (`bbox_head`, xywh), else from MATLAB's file beside: `mpii_gt_val.mat`
    of `mpii_val.json`, in the same order.

    Raises:
        InputError: a row of another kind, or no head boxes.
        MissingExtraError: MATLAB's file needs scipy.
    """
    heads = (
        [row.get(HEAD) if isinstance(row, dict) else None for row in rows]
        if any(isinstance(row, dict) and HEAD in row for row in rows)
        else _matlab_heads(file, len(rows))
    )
    pictures: dict[str, dict[str, Any]] = {}
    annotations = []
    for i, (row, head) in enumerate(zip(rows, heads, strict=True)):
        try:
            name = str(row["image"])
            (x, y), scale = row["center"], float(row["scale"])
            joints = np.array(row["joints"], float).reshape(len(names), 2) - 1
            seen = np.array(row["joints_vis"], float).reshape(len(names)) > 0
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}: person {i} (of {len(rows)}) is not MPII's ({error!r}); expected image, center, "
                f"scale, {len(names)} joints and joints_vis"
            ) from None
        picture = pictures.setdefault(name, {"id": len(pictures) + 1, "file_name": name})
        side = _SIZE * scale
        y += _LOWER * scale
        annotations.append(
            {
                "id": i + 1,
                "image_id": picture["id"],
                "category_id": 1,
                "bbox": [x - 1 - side / 2, y - 1 - side / 2, side, side],
                "keypoints": np.column_stack([joints, 2 * seen]).reshape(-1).tolist(),
                "num_keypoints": int(seen.sum()),
                **({} if head is None else {HEAD: head}),
            }
        )
    return {
        "images": list(pictures.values()),
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(names)}],
    }


def head_sizes(rows: Sequence[dict[str, Any]], file: Path) -> list[float]:
    """px, of each of some annotations.

    Raises:
        InputError: an annotation without a head box, or with an empty one.
    """
    sizes = []
    for row in rows:
        try:
            _, _, w, h = map(float, row[HEAD])
        except (KeyError, TypeError, ValueError):
            w = h = 0.0
        if w <= 0 or h <= 0:
            raise InputError(
                f"{file}: annotation {row.get('id')} has {HEAD} {row.get(HEAD)}; expected x, y, width, "
                "height of its head, as the others have (PCKh measures in heads)"
            )
        sizes.append(HEAD_SHARE * float(np.hypot(w, h)))
    return sizes


def pckh_figures(
    persons: Sequence[Matched], heads: Sequence[float], names: tuple[str, ...]
) -> dict[str, float]:
    """PCKh of persons with their heads' sizes, px."""
    errors = np.array([np.linalg.norm(p.found - p.truth, axis=1) for p in persons])
    labelled = np.array([p.labelled for p in persons])
    return pckh(np.nan_to_num(errors, nan=np.inf), labelled, np.array(heads), names)


def _matlab_heads(file: Path, count: int) -> list[list[float]]:
    """Boxes xywh px."""
    beside = file.with_name(file.stem.replace("mpii_", "mpii_gt_", 1) + ".mat")
    if beside == file.with_suffix(".mat") or not beside.is_file():
        raise InputError(
            f"{file}: its persons have no {HEAD}, and there is no {beside.name} beside it; PCKh needs "
            "the head boxes of MPII (mpii_gt_val.mat beside mpii_val.json)"
        )
    try:
        read = importlib.import_module("scipy.io").loadmat
        broken = importlib.import_module("scipy.io.matlab").MatReadError
    except ImportError:
        raise MissingExtraError("scipy", "mpii", f"Reading {beside.name}") from None
    try:
        corners: NDArray[np.float64] = np.asarray(read(beside)["headboxes_src"], float)
    except (KeyError, ValueError, OSError, NotImplementedError, TypeError, broken) as error:
        raise InputError(f"{beside}: no headboxes_src can be read ({error})") from None
    if corners.shape != (2, 2, count):
        raise InputError(
            f"{beside}: headboxes_src is {corners.shape}; expected (2, 2, {count}), one for each "
            f"person of {file}"
        )
    low, high = corners
    boxes: list[list[float]] = np.concatenate([low - 1, high - low]).T.tolist()
    return boxes
