"""Where are the persons in a picture?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.decode import decode_boxes
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.geometry import Floats, Image, letterbox
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.network import Network
from rtmpose_sdk.results import Detections


class Detector(Network):
    """A person detector: letterbox → network → boxes.

    Args:
        model: a name, a file, a folder or an address, see `open_model`; or what it returned.
        device, threads, precision, engine: see `rtmpose_sdk.runtimes.open_runtime`.
        score_threshold: boxes below it are left out; None takes the card's. A graph that holds its
            own NMS has cut at the card's already.

    Raises:
        CardError: it contradicts the artifact.
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
        super().__init__(model, "detect", device, threads, precision, engine)
        if self.card.letterbox == "fitted" and None not in self.runtime.inputs[0].shape[1:]:
            spec = self.runtime.inputs[0]
            self.runtime.close()
            raise CardError(
                f"{self.runtime.path}: its card says letterbox 'fitted', for which sides are open, but it "
                f"takes {spec}; expected 'full'"
            )
        self.score_threshold = self.card.score_threshold if score_threshold is None else score_threshold

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
        canvas, factors = self.letterbox(picture)
        outputs = self._infer(canvas[None])
        least = self.score_threshold if score_threshold is None else score_threshold
        boxes, scores = decode_boxes(outputs, self.card, least)
        boxes = boxes * factors
        np.clip(boxes, 0, np.array([width, height, width, height], np.float32), out=boxes)
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return Detections(boxes[solid], scores[solid], (width, height))

    def letterbox(self, picture: Image) -> tuple[Image, Floats]:
        """What the network is given of a picture, and the factors back: see `geometry.letterbox`."""
        return letterbox(picture, self.card.input_size, self.card.pad_value, self.card.letterbox_step)
