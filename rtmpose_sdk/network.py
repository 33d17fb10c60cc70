"""A model, its engine, and the lock that lets one thread at a time into it."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from rtmpose_sdk.artifacts import Model, open_model
from rtmpose_sdk.card import Task
from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import CardError, EngineError, InputError
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.outputs import find_outputs
from rtmpose_sdk.runtimes import Array


class Network(Closing):
    """What Detector, Predictor and OneStage have in common.

    Args:
        model: a name, a file, a folder or an address, see `open_model`; or what it returned.
        task: what it is to be used for.
        device, threads, precision, engine: see `rtmpose_sdk.runtimes.open_runtime`.

    Raises:
        InputError: one picture at a time is looked at, and the artifact takes several at once only; or
            settings for a model that is open already.
        CardError: a card that cannot be for this artifact.

    Attributes:
        runtime, card: the engine, and how to use it.
        gate: held while the engine runs, which is one call at a time; Pipeline puts one lock into all its
            networks.
    """

    def __init__(
        self,
        model: str | Path | Model,
        task: Task,
        device: str,
        *,
        threads: int | None,
        precision: str | None,
        engine: str | None,
    ) -> None:
        if isinstance(model, Model):
            settings = {"threads": threads, "precision": precision, "engine": engine}
            given = [name for name, value in settings.items() if value is not None]
            given += ["device"] * (device != "cpu")
            if given:
                raise InputError(
                    f"{model.card.name} is open already, on {model.runtime.engine}: leave out "
                    f"{', '.join(given)}, or give them to open_model"
                )
        else:
            model = open_model(model, task, device, threads=threads, precision=precision, engine=engine)
        self.runtime, self.card = model
        batch = self.runtime.inputs[0].shape[0] or self.runtime.smallest_batch
        if batch > 1 and (task == "detect" or self.card.decoder == "rtmo"):
            self.runtime.close()
            raise InputError(
                f"{self.runtime.path}: takes {batch} pictures at once, and is given one at a time here; "
                "export it for a batch of 1, or of any number"
            )
        self.gate: AbstractContextManager[object] = threading.Lock()
        self._process = os.getpid()
        try:
            self._normalize = Normalizer(self.card)
            self._outputs = find_outputs(self.runtime.outputs, self.card, self.runtime.path)
        except CardError:
            self.runtime.close()
            raise

    def _infer(self, images: Array) -> dict[str, Array]:
        """Outputs by their role, see `find_outputs`, for (N,H,W,3) uint8 BGR of the network's size."""
        if os.getpid() != self._process:  # its threads, and perhaps its lock's holder, stayed behind
            raise EngineError(
                f"{self.card.name} was opened in process {self._process} and is used in its fork "
                f"{os.getpid()}, which engines do not survive; open it in each process"
            )
        tensor = self._normalize(images)
        with self.gate:
            outputs = self.runtime.run(tensor)
        return {role: outputs[place] for role, place in self._outputs.items()}

    def close(self) -> None:
        """Free the engine, once a call in another thread has ended. In a fork it is left to its owner."""
        if os.getpid() != self._process:
            return
        with self.gate:
            self.runtime.close()
