"""TensorRT and TensorRT for RTX: the same API under two names. Which of them, and what did it say?"""

from __future__ import annotations

import functools
import importlib
from collections import deque
from collections.abc import Collection
from importlib.util import find_spec
from typing import Any, Literal

from rtmpose_sdk.errors import EngineError, MissingExtraError

Flavour = Literal["tensorrt", "tensorrt-rtx"]
TITLES: dict[Flavour, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}
_MODULES: dict[Flavour, tuple[str, str]] = {
    "tensorrt": ("tensorrt", "tensorrt_bindings"),
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
"""The full package, and its binding alone (the `-cu13-bindings` wheels bring only that)."""


def installed_flavours() -> tuple[Flavour, ...]:
    """Which of the two are installed; loads neither."""
    return tuple(flavour for flavour, names in _MODULES.items() if any(map(_is_there, names)))


def load_tensorrt(flavour: Flavour, why: str) -> Any:
    """The module.

    Args:
        flavour: which of the two; the other one is no substitute.
        why: what it is needed for, for the message.

    Raises:
        MissingExtraError: not installed.
        EngineError: installed, and its libraries do not load.
    """
    name = next(filter(_is_there, _MODULES[flavour]), None)
    if name is None:
        raise MissingExtraError(flavour, flavour, why)
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # a library of CUDA or of TensorRT is missing
        raise EngineError(
            f"{why} needs {TITLES[flavour]}; its package '{name}' is installed but does not load: {error}"
        ) from None


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # in sys.modules without a spec
        return True


_KEPT_ERRORS = 20


@functools.cache
def message_logger(trt: Any) -> tuple[Any, deque[str]]:
    """The logger for all engines of a process, and the last errors that it was told.

    TensorRT keeps the first logger that it is given, also for what is made later: a second one would hear
    nothing, and the first must not end before the last engine does.
    """
    errors: deque[str] = deque(maxlen=_KEPT_ERRORS)

    class Collector(trt.ILogger):  # type: ignore[misc] # the class is known when the module is
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                errors.append(" ".join(message.split()))

    return Collector(), errors


def said(errors: Collection[str]) -> str:
    """What the engine complained about, in one line; that it found no GPU only if there is nothing else."""
    told = list(dict.fromkeys(errors))
    told = [text for text in told if "cudaError" not in text] or told
    return "; ".join(told)[:600] or "it gave no reason"
