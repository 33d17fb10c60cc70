"""How deep are keypoints? The third SimCC axis of RTMPose3D and RTMW3D."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.decode_simcc import Decoded, decode_simcc
from rtmpose_sdk.errors import EngineError

Floats = NDArray[np.float32]


def decode_simcc3d(
    simcc_x: Floats, simcc_y: Floats, simcc_z: Floats, split_ratio: float, beta: float, z_range: float
) -> Decoded:
    """Arg-max of three axes; x and y as in the flat models, z in metres (MMPose's SimCC3DLabel).

    Args:
        simcc_x, simcc_y, simcc_z: (N,K,bins) of each axis.
        split_ratio: bins per input px, of all axes.
        beta: see `decode_simcc`.
        z_range: m from the middle of the third axis to either end.

    Returns:
        As `decode_simcc`, with depths (N,K) m, from the person's root (middle of the hips), away from the
        camera positive. Scores are those of x and y: the depth of a sure keypoint may be unsure.

    Raises:
        EngineError: a peak is NaN or infinite.
    """
    flat = decode_simcc(simcc_x, simcc_y, split_ratio, beta)
    if not np.isfinite(simcc_z).all():
        raise EngineError("the network's depths hold NaN or infinity; export it in fp32")
    # The codec's unit is the px of its third side, D = bins / ratio: z = (px / (D / 2) - 1) * range.
    middle = simcc_z.shape[-1] / 2
    depths = (simcc_z.argmax(axis=-1) / middle - 1) * z_range
    return flat._replace(depths=depths.astype(np.float32))
