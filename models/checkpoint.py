"""From a published checkpoint file to a network's weights, without running anybody's code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.dtypes
import torch
from torch import Tensor, nn

from rtmpose_sdk.errors import CheckpointError
from rtmpose_sdk.models.identify import identify

_IGNORED_PREFIX = "data_preprocessor."
_MODULE_PREFIX = "module."
_STATES = ("state_dict_ema", "state_dict")
"""Where the weights are, the best first: timm's averaged ones (EMA), or the only ones. MMEngine's averaged
weights are in `state_dict`, too; what training goes on from is in its `ema_state_dict`, not read here."""
_CLASSIFIER = "bbox_head.rtm_cls."
_COCO_CLASSES = 80
"""Of MMDetection's own checkpoints."""
_SHOWN = 5
NOTE = "rtmpose_sdk"
"""Name beside `state_dict` under which `rtmpose train` keeps its note, see `read_noted`."""


class _TrainingLog:
    """Stands for mmengine's HistoryBuffer, which early published files carry: nothing of it is kept."""

    def __setstate__(self, state: object) -> None:
        pass


def _no_attribute(*_: object) -> None:
    """Stands for the getattr by which a HistoryBuffer names its own methods: gives nothing."""


def _harmless_globals() -> list[Any]:
    """What the pickles of published files name besides tensors; none of it can run foreign code."""
    scalar: Any = np.float64(0).__reduce__()[0]
    array: Any = np.zeros(1).__reduce__()[0]
    return [
        *(scalar, array, np.dtype, np.ndarray),
        *(getattr(np.dtypes, name) for name in np.dtypes.__all__),
        # Files written with numpy 1 name the same functions under numpy.core.
        (scalar, "numpy.core.multiarray.scalar"),
        (array, "numpy.core.multiarray._reconstruct"),
        (_TrainingLog, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_no_attribute, "builtins.getattr"),
        (_no_attribute, "__builtin__.getattr"),
    ]


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Names and tensors of a checkpoint's network.

    Read are: a bare state dict, or one under `state_dict`; averaged weights (EMA) where the file has them.
    `data_preprocessor.*` is left out, `module.` is taken off.

    Raises:
        CheckpointError: missing, empty, truncated, not a checkpoint, or a pickle with code in it.
    """
    return read_noted(path)[0]


def read_noted(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `read_checkpoint` gives, and what is said beside it: {} where nothing is.

    Of `rtmpose train`: `card` is the card of the artifact, as JSON; `head` are the fields of a pose
    network's `HeadOptions`. Of MMPose: `keypoints` is the keypoint set, as `keypoint_set_from` takes it.

    Raises:
        CheckpointError: see `read_checkpoint`.
    """
    file = Path(path)
    content = _load(file)
    note = content.get(NOTE)
    state = next((content[k] for k in _STATES if content.get(k) is not None), content)
    if not isinstance(state, dict):
        raise CheckpointError(f"{file}: its 'state_dict' is a {type(state).__name__}; expected a dict")
    tensors = {}
    for name, value in state.items():
        short = str(name).removeprefix(_MODULE_PREFIX)
        if short.startswith(_IGNORED_PREFIX):
            continue
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{file}: '{name}' is a {type(value).__name__}, expected a tensor; is this a state dict?"
            )
        tensors[short] = value
    if not tensors:
        raise CheckpointError(f"{file}: there is no tensor in it")
    return tensors, note if isinstance(note, dict) else _dataset_note(content)


def _dataset_note(content: Mapping[str, Any]) -> dict[str, Any]:
    """The keypoints that MMPose trained on: `meta.dataset_meta`, as its `parse_pose_metainfo` makes it."""
    meta = content.get("meta")
    said = meta.get("dataset_meta") if isinstance(meta, dict) else None
    names = said.get("keypoint_id2name") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(names, dict):
        return {}
    points = {"name": said.get("dataset_name", "mmpose"), "keypoints": [names[i] for i in sorted(names)]}
    for ours, theirs in (("skeleton", "skeleton_links"), ("flip_indices",) * 2, ("sigmas",) * 2):
        if said.get(theirs) is not None:
            points[ours] = [*said[theirs]]
    return {"keypoints": points}


def _load(file: Path) -> dict[str, Any]:
    """A checkpoint's content."""
    if file.is_dir():
        raise CheckpointError(f"{file}: is a folder; expected a checkpoint file (.pth)")
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; expected a checkpoint (.pth)")
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file}: the file is empty; download or copy it again")
    try:
        with torch.serialization.safe_globals(_harmless_globals()):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(file, error) from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes the unpickler raise anything
        raise CheckpointError(
            f"{file}: damaged or not a PyTorch checkpoint ({_first_line(error)}); compare its size or "
            "hash with the source and copy it again"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{file}: holds a {type(content).__name__}; expected a dict of tensors, or one with it "
            "under 'state_dict'"
        )
    return content


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a network, strictly: every tensor of either must be in the other.

    Raises:
        CheckpointError: unreadable, unsafe, or of another network; names the tensors.
    """
    load_state_dict(model, read_checkpoint(path), path)


def load_state_dict(model: nn.Module, state: Mapping[str, Tensor], origin: str | Path) -> None:
    """Load tensors into a network, strictly; `origin` names the file in errors.

    Of a detector of COCO's 80 classes, persons are loaded, the first of them.

    Raises:
        CheckpointError: missing or surplus tensors, or tensors of another shape.
    """
    own = model.state_dict()
    state = {name: _persons(name, value) for name, value in state.items()}
    missing = [name for name in own if name not in state]
    surplus = [name for name in state if name not in own]
    other = [
        f"{name} is {_shape(state[name])}, expected {_shape(own[name])}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if not (missing or surplus or other):
        model.load_state_dict(dict(state))
        return
    parts = []
    for what, names in (
        ("other shapes", other),
        ("missing", missing),
        ("not in the model", surplus),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{what}: {'; '.join(names[:_SHOWN])}{more}")
    try:
        seems = f" The checkpoint seems to be {identify(state)}."
    except CheckpointError as error:
        seems = f" The checkpoint is {error}."
    raise CheckpointError(
        f"{origin}: does not fit {getattr(model, 'name', 'the model')}. {'. '.join(parts)}.{seems}"
    )


def _persons(name: str, value: Tensor) -> Tensor:
    """A detector's classifier for COCO's first class alone; other tensors as they are."""
    of_coco = name.startswith(_CLASSIFIER) and value.shape[0] == _COCO_CLASSES
    return value[:1] if of_coco else value


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _refusal(file: Path, error: Exception) -> CheckpointError:
    """Why a pickle was not loaded. torch names the first global that is not data."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if not found:
        # torch's own text advises weights_only=False, which would run the file's code: not repeated.
        return CheckpointError(
            f"{file}: not a PyTorch checkpoint, damaged, or it holds objects that cannot be read "
            "safely; copy it again, or save its state dict (tensors only) with torch.save"
        )
    if found[1].startswith("ultralytics."):
        return CheckpointError(
            f"{file}: is a network of Ultralytics, in a pickle of its own classes; not read here. "
            "`rtmpose models` lists what can be named instead"
        )
    return CheckpointError(
        f"{file}: refused, because loading it would run code: the pickle calls '{found[1]}', and a "
        "state dict needs tensors only. If you trust where it came from, convert it once, in an "
        "environment that you can throw away: torch.save(torch.load(FILE, weights_only=False)"
        "['state_dict'], 'weights.pth')"
    )
