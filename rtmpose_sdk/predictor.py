"""Where are the keypoints of the persons in these boxes?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.crop_mmdeploy import crop_boxes_mmdeploy
from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.decode_simcc import Decoded, decode_simcc
from rtmpose_sdk.decode_simcc3d import decode_simcc3d
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.geometry import Crops, Floats, Image, check_detections, crop_boxes, flip_horizontally
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.network import Network
from rtmpose_sdk.results import Detections, PoseResult
from rtmpose_sdk.values import is_whole

DEFAULT_BATCH_LIMIT = 16


class Predictor(Network):
    """A top-down pose network: affine crops → network, one batched call → SimCC decode → picture px.

    Args:
        model: a name, a file, a folder or an address, see `open_model`; or what it returned.
        device, threads, precision, engine: see `rtmpose_sdk.runtimes.open_runtime`.
        batch_limit: most persons of one call of the network; bounds the memory.
        flip_test: average with the mirrored crop; twice the time, a little more accurate.
    """

    def __init__(
        self,
        model: str | Path | Model,
        device: str = "cpu",
        *,
        threads: int | None = None,
        precision: str | None = None,
        engine: str | None = None,
        batch_limit: int = DEFAULT_BATCH_LIMIT,
        flip_test: bool = False,
    ) -> None:
        if not is_whole(batch_limit, 1):
            raise InputError(f"batch_limit is {batch_limit!r}; expected a whole number, at least 1")
        super().__init__(model, "pose", device, threads=threads, precision=precision, engine=engine)
        if self.card.decoder == "rtmo":
            self.runtime.close()
            raise InputError(
                f"{self.card.name} finds persons and keypoints in one stage and takes no boxes; use "
                "Pipeline(pose=...) or OneStage"
            )
        self.keypoint_set = self.card.keypoints()
        self.flip_test = flip_test
        fixed = self.runtime.inputs[0].shape[0]
        self._smallest_batch = fixed or self.runtime.smallest_batch
        self.batch_limit = fixed or min(batch_limit, self.runtime.largest_batch or batch_limit)
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
        xyxy, scores = check_detections(boxes, size)
        if len(xyxy) == 0:
            return PoseResult.empty(self.keypoint_set, size)
        parts = [
            self._predict(picture, xyxy[start : start + self.batch_limit])
            for start in range(0, len(xyxy), self.batch_limit)
        ]
        poses = parts[0] if len(parts) == 1 else _joined(parts)
        return PoseResult(
            boxes=xyxy,
            box_scores=scores,
            keypoints=poses.keypoints,
            keypoint_scores=poses.scores,
            confidences=poses.confidences,
            keypoint_set=self.keypoint_set,
            image_size=size,
            depths=poses.depths,
        )

    def many(self, images: Sequence[object], boxes: Sequence[Detections | object]) -> list[PoseResult]:
        """The same for several pictures, with as few calls of the network as their persons need.

        All crops are in memory at once: 150 kB for each person at 192x256 px.

        Args:
            images: as for one.
            boxes: of each picture, as for one.

        Raises:
            ImageError, InputError, EngineError: as for one; also where boxes of a picture are missing.
        """
        if len(images) != len(boxes):
            raise InputError(f"{len(images)} pictures and boxes of {len(boxes)}; expected boxes of each")
        pictures = [as_bgr(image) for image in images]
        sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
        given = [check_detections(each, size) for each, size in zip(boxes, sizes, strict=True)]
        results = [PoseResult.empty(self.keypoint_set, size) for size in sizes]
        people = [i for i, (xyxy, _) in enumerate(given) if len(xyxy)]
        if not people:
            return results
        crops = [self._crop(pictures[i], given[i][0]) for i in people]
        every = np.concatenate([each.images for each in crops])
        parts = [
            self._decode(every[start : start + self.batch_limit])
            for start in range(0, len(every), self.batch_limit)
        ]
        poses = parts[0] if len(parts) == 1 else _joined(parts)
        start = 0
        for i, each in zip(people, crops, strict=True):
            rows = slice(start, start := start + len(each.images))
            results[i] = PoseResult(
                *given[i],
                each.to_picture(poses.keypoints[rows]),
                poses.scores[rows],
                poses.confidences[rows],
                self.keypoint_set,
                sizes[i],
                depths=None if poses.depths is None else poses.depths[rows],
            )
        return results

    def outputs(self, image: object, boxes: Detections | object) -> dict[str, Floats]:
        """What the network itself gives for the persons in `boxes`, undecoded: SimCC bins or heatmaps.

        Args:
            image, boxes: as for a call.

        Returns:
            Arrays (N,K,...) by name: `simcc_x` and `simcc_y` (and `simcc_z`), or `heatmaps`.

        Raises:
            ImageError, InputError, EngineError: as for a call; InputError also where there is nobody.
        """
        picture = as_bgr(image)
        xyxy, _ = check_detections(boxes, (picture.shape[1], picture.shape[0]))
        if len(xyxy) == 0:
            raise InputError("boxes are empty; outputs have no shape without a person")
        return self.crop_outputs(self._crop(picture, xyxy).images)

    def crop_outputs(self, images: Image) -> dict[str, Floats]:
        """The same of crops that are cut out already.

        Args:
            images: (N,h,w,3) uint8 BGR of the card's `input_size`; N at least 1.
        """
        parts = [
            self._run(images[start : start + self.batch_limit])
            for start in range(0, len(images), self.batch_limit)
        ]
        return dict(zip(self._outputs, map(np.concatenate, zip(*parts, strict=True)), strict=True))

    def _predict(self, picture: Image, boxes: Floats) -> Decoded:
        """One batch; keypoints in px of the picture."""
        crops = self._crop(picture, boxes)
        poses = self._decode(crops.images)
        return poses._replace(keypoints=crops.to_picture(poses.keypoints))

    def _crop(self, picture: Image, boxes: Floats) -> Crops:
        crop = crop_boxes_mmdeploy if self.card.crop == "mmdeploy" else crop_boxes
        return crop(picture, boxes, self.card.input_size, self.card.bbox_padding)

    def _decode(self, images: Image) -> Decoded:
        """Poses in crops (N,h,w,3), in px of the crop."""
        outputs = self._run(images)
        if self.flip_test:
            flipped = self._flip_back(self._run(flip_horizontally(images)))
            outputs = [_mean(a, b) for a, b in zip(outputs, flipped, strict=True)]
        if self.card.decoder == "heatmap":
            card = self.card
            return decode_heatmap(outputs[0], card.input_size, card.heatmap_udp, card.heatmap_peak)
        if self.card.decoder == "simcc3d":
            x, y, z = outputs
            ratio, beta = self.card.simcc_split_ratio, self.card.simcc_beta
            return decode_simcc3d(x, y, z, ratio, beta, self.card.simcc_z_range)
        x, y = outputs
        return decode_simcc(x, y, self.card.simcc_split_ratio, self.card.simcc_beta)

    def _run(self, images: Image) -> list[Floats]:
        """The outputs that are decoded: SimCC x and y, or heatmaps."""
        count = len(images)
        if count < self._smallest_batch:
            filler = np.zeros((self._smallest_batch - count, *images.shape[1:]), np.uint8)
            images = np.concatenate([images, filler])
        return [values[:count] for values in self._infer(images).values()]

    def _flip_back(self, outputs: list[Floats]) -> list[Floats]:
        """Outputs of mirrored crops as those of the crops.

        Px x of a crop is px w-1-x of its mirror. So bin b of an axis with `ratio` bins per px is bin
        bins-ratio-b; a cell of a heatmap of w cells has w/W "bins" per px, or, with UDP, is w-1-c.
        """
        ratio = round(self.card.simcc_split_ratio)
        if self.card.decoder == "heatmap":
            # Without UDP the shift, a part of a cell, is rounded up to one: MMPose's shift_heatmap.
            ratio = 1 if self.card.heatmap_udp else 0
        bins = outputs[0].shape[-1]
        source = (bins - ratio - np.arange(bins)).clip(0, bins - 1)
        named = [values[:, self._flip_indices] for values in outputs]
        return [named[0][..., source], *named[1:]]


def _joined(parts: list[Decoded]) -> Decoded:
    """The persons of several batches."""
    keypoints, scores, confidences, depths = zip(*parts, strict=True)
    return Decoded(
        np.concatenate(keypoints),
        np.concatenate(scores),
        np.concatenate(confidences),
        None if depths[0] is None else np.concatenate(depths),
    )


def _mean(a: Floats, b: NDArray[np.float32]) -> Floats:
    mean: Floats = (a + b) * np.float32(0.5)
    return mean
