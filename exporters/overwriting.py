"""What would an export replace that is no older artifact of its own?"""

from __future__ import annotations

from pathlib import Path

from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.errors import InputError

_WITH_WEIGHTS = {".xml": ".param", ".param": ".xml"}
"""Kinds that keep their weights in a `.bin` of the artifact's name, and the other one of them."""


def check_overwriting(out: Path, source: Path | None) -> None:
    """Refuse to replace what is exported, or weights of something else.

    Args:
        out: the artifact's main file; others are written beside it.
        source: the file that is exported, where there is one.

    Raises:
        InputError: the export would replace a file that it must not.
    """
    weights = out.with_suffix(".bin")
    beside = [weights, card_beside(out)] if out.suffix in _WITH_WEIGHTS else [card_beside(out)]
    for file in (out, *beside):
        if source is not None and _same(file, source):
            raise InputError(
                f"{out}: the export would replace {source}, which it is made of; expected another name or "
                "folder for --out"
            )
    if out.suffix not in _WITH_WEIGHTS:
        return
    other = out.with_suffix(_WITH_WEIGHTS[out.suffix])
    if other.is_file():
        raise InputError(
            f"{out}: its weights would replace those of {other.name}, which are in {weights.name}, too; "
            "expected another name or folder for --out"
        )
    if weights.exists() and not out.is_file():
        raise InputError(
            f"{out}: its weights would replace {weights.name}, which is of no artifact here; expected "
            f"another name or folder for --out, or delete {weights.name}"
        )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
