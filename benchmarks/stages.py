"""Which steps of a predictor and a pipeline are timed, next to the bare engine?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.decode import decode_boxes, decode_simcc
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.geometry import Crops, crop_boxes, letterbox
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.predictor import Predictor

Step = Callable[[], object]


def pose_steps(
    predictor: Predictor, image: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> dict[str, Step]:
    """Bare engine, the whole predictor, and its three parts, on the same person."""
    card = predictor.card

    def cut() -> Crops:
        return crop_boxes(image, boxes, card.input_size, card.bbox_padding)

    crops = cut()
    tensor = predictor._normalize(crops.images)
    simcc_x, simcc_y = predictor._run(crops.images)
    return {
        "bare engine": predictor.runtime.bare(tensor),
        "predictor": lambda: predictor(image, boxes),
        "pre-process": lambda: predictor._normalize(cut().images),
        "network": lambda: predictor.runtime.run(tensor),
        "decode": lambda: crops.to_picture(
            decode_simcc(simcc_x, simcc_y, card.simcc_split_ratio, card.simcc_beta).keypoints
        ),
    }


def detect_steps(detector: Detector, image: NDArray[np.uint8]) -> dict[str, Step]:
    """Bare engine, the whole detector, and its three parts."""
    card = detector.card

    def prepare() -> NDArray[np.generic]:
        canvas, _ = letterbox(image, card.input_size, card.pad_value)
        return detector._normalize(canvas[None])

    tensor = prepare()
    outputs = dict(zip(detector._names, detector.runtime.run(tensor), strict=True))
    return {
        "detector, bare engine": detector.runtime.bare(tensor),
        "detector": lambda: detector(image),
        "detector, pre-process": prepare,
        "detector, network": lambda: detector.runtime.run(tensor),
        "detector, decode": lambda: decode_boxes(outputs, card, detector.score_threshold),
    }


def pipeline_steps(pipeline: Pipeline, image: NDArray[np.uint8]) -> dict[str, Step]:
    """Detector and poses of everybody found."""
    return {"pipeline": lambda: pipeline(image)}
