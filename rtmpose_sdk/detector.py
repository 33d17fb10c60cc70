"""Where are the persons in a picture?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType

import numpy as np

from rtmpose_sdk.artifacts import Model, open_model
from rtmpose_sdk.decode import decode_boxes
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.outputs import find_outputs
from rtmpose_sdk.results import Detections


class Detector:
    """A person detector: letterbox → network → boxes.

    Args:
        model: a name, a file, a folder or an address, see `open_model`; or what it returned.
        device, threads, precision, engine: see `rtmpose_sdk.runtimes.open_runtime`.
        score_threshold: boxes below it are left out; None takes the card's. A graph that holds its
            own NMS has cut at the card's already.

    Attributes:
        gate: held while the engine runs; Pipeline puts one lock here and in its Predictor.
    """

    def __init__(
        self,
        model: str | Path | Model,
        device: str = "cpu",
        threads: int | None = None,
        precision: str | None = None,
        score_threshold: float | None = None,
        engine: str | None = None,
    ) -> None:
        opened = (
            model
            if isinstance(model, Model)
            else open_model(model, "detect", device, threads, precision, engine)
        )
        self.runtime, self.card = opened
        self.score_threshold = self.card.score_threshold if score_threshold is None else score_threshold
        self._normalize = Normalizer(self.card)
        self._outputs = find_outputs(self.runtime.outputs, self.card, self.runtime.path)
        self.gate: AbstractContextManager[object] = nullcontext()

    def __call__(self, image: object, score_threshold: float | None = None) -> Detections:
        """Persons in one picture, best first; none is an empty result.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            score_threshold: instead of the detector's own, for this call.

        Raises:
            ImageError: not such a picture.
            EngineError: the engine failed or gave NaN.
        """
        picture = as_bgr(image)
        height, width = picture.shape[:2]
        canvas, factors = letterbox(picture, self.card.input_size, self.card.pad_value)
        tensor = self._normalize(canvas[None])
        with self.gate:
            outputs = self.runtime.run(tensor)
        least = self.score_threshold if score_threshold is None else score_threshold
        named = {name: outputs[place] for name, place in self._outputs.items()}
        boxes, scores = decode_boxes(named, self.card, least)
        boxes = boxes * factors
        np.clip(boxes, 0, np.array([width, height, width, height], np.float32), out=boxes)
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return Detections(boxes[solid], scores[solid], (width, height))

    def close(self) -> None:
        """Free the engine."""
        self.runtime.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
