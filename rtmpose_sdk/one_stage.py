"""Where are the persons and their keypoints, found by one network in one go (RTMO)?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.boxes import clip_boxes, suppress
from rtmpose_sdk.errors import EngineError, InputError
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.network import Network
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.values import check_share


class OneStage(Network):
    """A one-stage pose network: letterbox → network → persons with their keypoints.

    Args:
        model: a name, a file, a folder or an address, see `open_model`; or what it returned.
        device, threads, precision, engine: see `rtmpose_sdk.runtimes.open_runtime`.
        score_threshold: least score of a person; None takes the card's.
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
    ) -> None:
        if score_threshold is not None:
            check_share("score_threshold", score_threshold)
        super().__init__(model, "pose", device, threads=threads, precision=precision, engine=engine)
        if self.card.decoder != "rtmo":
            self.runtime.close()
            raise InputError(
                f"{self.card.name} (decoder {self.card.decoder}) takes boxes; use Predictor or Pipeline"
            )
        self.keypoint_set = self.card.keypoints()
        self.score_threshold = self.card.score_threshold if score_threshold is None else score_threshold

    def __call__(self, image: object, score_threshold: float | None = None) -> PoseResult:
        """Poses of everybody in a picture, best first; nobody is an empty result.

        A keypoint's score is the network's visibility, 0...1, and its confidence, too.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            score_threshold: least score of a person; None takes the network's.

        Raises:
            ImageError: not such a picture.
            InputError: a threshold that is not from 0 to 1.
            EngineError: the engine failed or gave NaN.
        """
        least = self.score_threshold if score_threshold is None else score_threshold
        check_share("score_threshold", least)
        picture = as_bgr(image)
        height, width = picture.shape[:2]
        canvas, factors = letterbox(picture, self.card.input_size, self.card.pad_value)
        outputs = self._infer(canvas[None])
        dets = np.asarray(outputs["dets"][0], np.float32)
        found = np.asarray(outputs["keypoints"][0], np.float32)
        if not (np.isfinite(dets).all() and np.isfinite(found).all()):
            raise EngineError(
                "the network's output holds NaN or infinity: the artifact or its precision is broken on "
                "this device; export it in fp32"
            )
        sure = dets[:, 4] >= least
        dets, found = dets[sure], found[sure]
        kept = suppress(dets[:, :4], dets[:, 4], self.card.nms_iou_threshold)[: self.card.max_detections]
        boxes = clip_boxes(dets[kept, :4] * factors, (width, height))
        solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        boxes, kept = boxes[solid], kept[solid]
        return PoseResult(
            boxes=boxes.astype(np.float32),
            box_scores=dets[kept, 4],
            keypoints=found[kept, :, :2] * factors[:2],
            keypoint_scores=found[kept, :, 2],
            confidences=np.clip(found[kept, :, 2], 0, 1),
            keypoint_set=self.keypoint_set,
            image_size=(width, height),
        )
