"""Where are the persons in a picture?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.boxes import clip_boxes
from rtmpose_sdk.card import FITTING, Letterbox
from rtmpose_sdk.decode_boxes import decode_boxes
from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.geometry import Floats, Image, letterbox
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.network import Network
from rtmpose_sdk.results import Detections
from rtmpose_sdk.values import check_share

MOST_SIDE = 8192
"""Sides above it, px, would fill a machine's memory."""


class Detector(Network):
    """A person detector: letterbox → network → boxes.

    Args:
        model: a name, a file, a folder or an address, see `open_model`; or what it returned.
        device, threads, precision, engine: see `rtmpose_sdk.runtimes.open_runtime`.
        score_threshold: boxes below it are left out; None takes the card's, which is low (0.05) for
            measuring; Pipeline takes 0.3. A graph that holds its own NMS has cut at the card's already.
        input_size: instead of the card's, see `resized`.

    Raises:
        CardError: it contradicts the artifact.
        InputError: see `resized`.

    Example:
        detector = Detector("rtmdet-nano-own", score_threshold=0.3)
    """

    def __init__(
        self,
        model: str | Path | Model,
        device: str = "cpu",
        *,
        threads: int | None = None,
        precision: str | None = None,
        engine: str | None = None,
        score_threshold: float | None = None,
        input_size: int | Sequence[int] | None = None,
    ) -> None:
        if score_threshold is not None:
            check_share("score_threshold", score_threshold)
        super().__init__(model, "detect", device, threads=threads, precision=precision, engine=engine)
        self.card = resized(Model(self.runtime, self.card), input_size).card
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
            InputError: a threshold that is not from 0 to 1.
            EngineError: the engine failed or gave NaN.
        """
        least = self.score_threshold if score_threshold is None else score_threshold
        check_share("score_threshold", least)
        picture = as_bgr(image)
        height, width = picture.shape[:2]
        canvas, factors = self.letterbox(picture)
        outputs = self._infer(canvas[None])
        boxes, scores = decode_boxes(outputs, self.card, least)
        boxes = clip_boxes(boxes * factors, (width, height))
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return Detections(boxes[solid], scores[solid], (width, height))

    def letterbox(self, picture: Image) -> tuple[Image, Floats]:
        """What the network is given of a picture, and the factors back: see `geometry.letterbox`."""
        return letterbox(picture, self.card.input_size, self.card.pad_value, self.card.letterbox_step)


def resized(model: Model, input_size: int | Sequence[int] | None) -> Model:
    """A detector for pictures up to another size: smaller is faster, larger finds smaller persons.

    Its letterboxes fit (`ModelCard.letterbox`), wherever its decoder knows of that: asked for its own
    size, a detector of full letterboxes becomes faster on pictures that are not square.

    Args:
        model: an open one; closed where this raises.
        input_size: (width, height) px, or one number for a square; None leaves the model as it is.

    Raises:
        InputError: not multiples of the largest stride, or the artifact takes one size only.
    """
    if input_size is None:
        return model
    runtime, card = model
    sides = tuple(np.ravel(input_size).tolist())  # numpy's numbers, too
    sides = sides * 2 if len(sides) == 1 else sides
    said = "x".join(map(str, sides))
    step = max(card.strides)
    if len(sides) != 2 or any(
        not isinstance(n, int) or not step <= n <= MOST_SIDE or n % step for n in sides
    ):
        runtime.close()
        shown = said if all(isinstance(n, int) for n in sides) else repr(input_size)
        raise InputError(
            f"the detector's input size is {shown}; expected a width and a height in multiples of "
            f"{step} px, up to {MOST_SIDE}, for example {step * 8}x{step * 8}"
        )
    if None not in runtime.inputs[0].shape[1:]:
        if sides == card.input_size:
            return model
        runtime.close()
        raise InputError(
            f"{runtime.path}: takes {'x'.join(map(str, card.input_size))} px only, and {said} was asked "
            "for. Files that rtmpose-export writes of RTMDet for ONNX Runtime and OpenVINO take any size "
            f"(but with --fixed-size); for others export it with --input-size {said}"
        )
    kind: Letterbox = "fitted" if card.decoder in FITTING else card.letterbox
    return Model(runtime, replace(card, input_size=(sides[0], sides[1]), letterbox=kind))
