"""What lies in the folder of a training run? `rtmpose train` makes it, and a user names it like a model."""

from __future__ import annotations

import json
from pathlib import Path

from rtmpose_sdk.card import ARTIFACTS
from rtmpose_sdk.errors import InputError, ModelFileError

CONFIG = "config.json"
LAST = "last.pt"
"""Everything that resuming needs."""
BEST = "best.pth"
"""The weights that were best up to now."""
WEIGHTS = "weights.pth"
"""Those that the run gave."""


def is_run(folder: Path) -> bool:
    """True for a folder of `rtmpose train`: other programs write a config.json, too."""
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and {"task", "model", "annotations"} <= set(config)


def artifact_of(folder: Path) -> Path:
    """The artifact that a run has exported.

    Raises:
        ModelFileError: there is none yet, or more than one.
    """
    found = sorted(file.name for file in folder.iterdir() if file.suffix in ARTIFACTS)
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise ModelFileError(
            f"{folder}: is a training run with {len(found)} artifacts, {', '.join(found)}; name the one "
            f"that is meant: {folder / found[0]}"
        )
    best = f", or try its best weights up to now: {folder / BEST}" * (folder / BEST).is_file()
    raise ModelFileError(
        f"{folder}: is a training run that has no artifact yet; it is exported at its end. Go on with it: "
        f"rtmpose train --resume {folder}{best}"
    )


def refuse_state(file: Path) -> None:
    """What only resuming can read is no model.

    Raises:
        InputError: the state of a run.
    """
    folder = file.parent
    if file.name != LAST or not is_run(folder):
        return
    weights = [str(folder / name) for name in (WEIGHTS, BEST) if (folder / name).is_file()]
    instead = f", or give its weights: {' or '.join(weights)}" if weights else "; it has no weights yet"
    raise InputError(
        f"{file}: is the state of a training run; go on with it (rtmpose train --resume {folder}){instead}"
    )
