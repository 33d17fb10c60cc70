"""PicoDet-S for pedestrians (PaddleDetection's OpenVINO file): boxes of persons, to compare detectors."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.boxes import suppress
from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.geometry import letterbox
from rtmpose_sdk.runtimes import allowed_cores

_LEAST, _IOU = 0.4, 0.6
_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_STD = np.array([57.375, 57.12, 58.395], np.float32)


class PicodetPeer:
    """Resize with margins, network, NMS, way back."""

    def __init__(self, file: Path, threads: int | None) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("openvino", "openvino", "The peer PicoDet") from None
        if file.suffix != ".xml" or not file.is_file():
            raise InputError(f"{file}: no such .xml; expected PicoDet's OpenVINO file")
        settings = {"INFERENCE_NUM_THREADS": threads or allowed_cores(), "PERFORMANCE_HINT": "LATENCY"}
        model = openvino.Core().compile_model(str(file), "CPU", settings)
        shapes = [tuple(each.get_shape()) for each in (*model.inputs, *model.outputs)]
        if len(shapes) != 3 or shapes[1][2:] != (4,) or shapes[2][:2] != (1, 1):
            raise InputError(f"{file}: has {shapes}; expected a picture, boxes (1,A,4), scores (1,1,A)")
        self._side = shapes[0][2]
        self._request: Any = model.create_infer_request()
        self.version = f"openvino {version('openvino')}"

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,4) xyxy px."""
        canvas, factors = letterbox(picture, (self._side, self._side), 0)
        tensor = np.ascontiguousarray(((canvas - _MEAN) / _STD).transpose(2, 0, 1)[None], np.float32)
        self._request.infer([tensor], share_inputs=True)
        boxes, scores = (self._request.get_output_tensor(i).data[0] for i in (0, 1))
        likely = scores[0] > _LEAST
        found, sure = boxes[likely], scores[0][likely]
        kept: NDArray[np.float32] = found[suppress(found, sure, _IOU)] * factors
        return kept


open_peer = PicodetPeer
