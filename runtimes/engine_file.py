"""Which TensorRT built this engine file? Read from its first bytes, with no engine and no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rtmpose_sdk.errors import ModelFileError
from rtmpose_sdk.runtimes.tensorrt_module import Flavour

_TAGS: dict[bytes, Flavour] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
_VERSION = slice(24, 28)
"""Where the four numbers of the version stand (trtexec --getPlanVersionOnly reads them there)."""
_RTX_SIZE = slice(16, 24)
"""Where an engine of TensorRT for RTX says how many bytes it has."""
_HEADER_BYTES = 64


class EngineHeader(NamedTuple):
    """What an engine file says of itself."""

    flavour: Flavour
    version: str
    """As in "10.13.3.9"."""


def read_engine_header(path: Path) -> EngineHeader:
    """The header of a serialised engine.

    Raises:
        ModelFileError: cut off, or another kind of file.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    flavour = _TAGS.get(head[:4])
    if flavour is None or len(head) < _HEADER_BYTES:
        raise ModelFileError(
            f"{path}: not a TensorRT engine (it has {path.stat().st_size} bytes and begins with "
            f"{head[:4]!r}; expected b'ftrt', or b'vtrt' of TensorRT for RTX). Export it again: "
            "rtmpose-export --backend tensorrt"
        )
    size = path.stat().st_size
    expected = int.from_bytes(head[_RTX_SIZE], "little") if flavour == "tensorrt-rtx" else size
    if size != expected:
        raise ModelFileError(
            f"{path}: is damaged: it has {size} bytes and says that it has {expected}. Copy or export it "
            "again"
        )
    return EngineHeader(flavour, ".".join(map(str, head[_VERSION])))
