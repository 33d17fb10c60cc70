"""Where are the keypoints of the persons in these boxes?"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.artifacts import open_model
from rtmpose_sdk.decode import Decoded, decode_simcc
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import Floats, Image, check_boxes, crop_boxes, flip_horizontally
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.results import Detections, PoseResult

DEFAULT_BATCH_LIMIT = 16


class Predictor:
    """A top-down pose network: affine crops → network, one batched call → SimCC decode → picture px.

    Args:
        model: a name, an ONNX file with a card, or an MMDeploy SDK folder.
        device, threads, precision: see `rtmpose_sdk.runtimes.open_runtime`.
        batch_limit: most persons of one call of the network; bounds the memory.
        flip_test: average with the mirrored crop; twice the time, a little more accurate.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "cpu",
        threads: int | None = None,
        precision: str | None = None,
        batch_limit: int = DEFAULT_BATCH_LIMIT,
        flip_test: bool = False,
    ) -> None:
        if batch_limit < 1:
            raise InputError(f"batch_limit is {batch_limit}; expected at least 1")
        self.runtime, self.card = open_model(model, "pose", device, threads, precision)
        self.keypoint_set = get_keypoint_set(self.card.keypoint_set)
        self.flip_test = flip_test
        self._fixed_batch = self.runtime.inputs[0].shape[0]
        self.batch_limit = self._fixed_batch or batch_limit
        self._normalize = Normalizer(self.card)
        names = [spec.name for spec in self.runtime.outputs]
        self._x, self._y = names.index("simcc_x"), names.index("simcc_y")
        self._flip_indices = np.array(self.keypoint_set.flip_indices)

    def __call__(self, image: object, boxes: Detections | object) -> PoseResult:
        """Poses of the persons in `boxes`.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            boxes: Detections, or (N,4) xyxy px of the picture; N = 0 gives an empty result.

        Raises:
            ImageError: not such a picture.
            InputError: boxes that are NaN, inverted, empty, or wholly outside.
            EngineError: the engine failed or gave NaN.
        """
        picture = as_bgr(image)
        size = (picture.shape[1], picture.shape[0])
        xyxy = check_boxes(boxes.boxes if isinstance(boxes, Detections) else boxes, size)
        if len(xyxy) == 0:
            return PoseResult.empty(self.keypoint_set, size)
        scores = boxes.scores if isinstance(boxes, Detections) else np.ones(len(xyxy), np.float32)
        parts = [
            self._predict(picture, xyxy[start : start + self.batch_limit])
            for start in range(0, len(xyxy), self.batch_limit)
        ]
        poses = parts[0] if len(parts) == 1 else Decoded(*map(np.concatenate, zip(*parts, strict=True)))
        return PoseResult(
            boxes=xyxy,
            box_scores=scores,
            keypoints=poses.keypoints,
            keypoint_scores=poses.scores,
            confidences=poses.confidences,
            keypoint_set=self.keypoint_set,
            image_size=size,
        )

    def _predict(self, picture: Image, boxes: Floats) -> Decoded:
        """One batch; keypoints in px of the picture."""
        crops = crop_boxes(picture, boxes, self.card.input_size, self.card.bbox_padding)
        simcc_x, simcc_y = self._run(crops.images)
        if self.flip_test:
            simcc_x, simcc_y = self._average_flipped(crops.images, simcc_x, simcc_y)
        poses = decode_simcc(simcc_x, simcc_y, self.card.simcc_split_ratio, self.card.simcc_beta)
        return poses._replace(keypoints=crops.to_picture(poses.keypoints))

    def _run(self, images: Image) -> tuple[Floats, Floats]:
        count = len(images)
        if self._fixed_batch and count < self._fixed_batch:
            filler = np.zeros((self._fixed_batch - count, *images.shape[1:]), np.uint8)
            images = np.concatenate([images, filler])
        outputs = self.runtime.run(self._normalize(images))
        return outputs[self._x][:count], outputs[self._y][:count]

    def _average_flipped(self, images: Image, simcc_x: Floats, simcc_y: Floats) -> tuple[Floats, Floats]:
        """Mean of both outputs. Pixel x of a crop is w-1-x of its mirror, so bin b is bins-ratio-b."""
        flipped_x, flipped_y = self._run(flip_horizontally(images))
        bins = simcc_x.shape[-1]
        source = bins - round(self.card.simcc_split_ratio) - np.arange(bins)
        back_x = flipped_x[:, self._flip_indices][..., source.clip(0)]
        back_y = flipped_y[:, self._flip_indices]
        return _mean(simcc_x, back_x), _mean(simcc_y, back_y)

    def close(self) -> None:
        """Free the engine."""
        self.runtime.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _mean(a: Floats, b: NDArray[np.float32]) -> Floats:
    mean: Floats = (a + b) * np.float32(0.5)
    return mean
