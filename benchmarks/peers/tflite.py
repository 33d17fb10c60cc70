"""A tflite network of one square picture, on LiteRT."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.runtimes import allowed_cores


class TfliteNetwork:
    """The first output for (side,side,3) RGB.

    Args:
        file: the .tflite.
        threads: None takes all cores.
        name: whose it is, for errors.
        dtype: of its input.
        shape: of its first output.

    Attributes:
        side: of its input, px.
        version: of the engine.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        InputError: no such file, or another network's.
    """

    def __init__(
        self, file: Path, threads: int | None, name: str, dtype: type, shape: tuple[int, ...]
    ) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise MissingExtraError("ai-edge-litert", "peers", f"The peer {name}") from None
        if not file.is_file():
            raise InputError(f"{file}: no such file; expected {name}'s .tflite")
        try:
            self._engine: Any = Interpreter(str(file), num_threads=threads or allowed_cores())
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{file}: LiteRT cannot open it: {' '.join(str(error).split())[:200]}"
            ) from None
        self._engine.allocate_tensors()
        [entry], exits = self._engine.get_input_details(), self._engine.get_output_details()
        found = tuple(exits[0]["shape"])
        if entry["dtype"] is not dtype or found != shape:
            raise InputError(
                f"{file}: takes {entry['dtype'].__name__}, gives {found}; {name} takes {dtype.__name__}, "
                f"gives {shape}"
            )
        self._input, self._output = entry["index"], exits[0]["index"]
        self.side = int(entry["shape"][1])
        self.version = f"ai-edge-litert {version('ai-edge-litert')}"

    def __call__(self, picture: NDArray[Any]) -> NDArray[np.float32]:
        """(side,side,3) RGB → the first output."""
        self._engine.set_tensor(self._input, picture[None])
        self._engine.invoke()
        values: NDArray[np.float32] = self._engine.get_tensor(self._output)
        return values
