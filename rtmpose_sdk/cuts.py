"""Does the picture show another scene than the one before?"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

CUT_CORRELATION = 0.4
"""Two small grey pictures less alike than this show different scenes; a flash keeps its correlation."""
CUT_DIFFERENCE = 12.0
"""... if they also differ by so many grey levels on average: noise in the dark is no cut."""


class CutFinder:
    """Looks at the frames of one stream, in order.

    Args:
        size: (width, height) px of the frame before the first one, where there was one.
    """

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self._size = size
        self._thumb: NDArray[np.float32] | None = None

    def __call__(self, picture: NDArray[np.uint8]) -> bool:
        """A new scene, or frames of another size; the first frame too. (H,W,3) uint8."""
        size = (picture.shape[1], picture.shape[0])
        steps = max(size[1] // 36, 1), max(size[0] // 64, 1)
        small = np.ascontiguousarray(picture[:: steps[0], :: steps[1], 1])
        thumb = cv2.blur(small, (3, 3)).astype(np.float32)
        before, self._thumb = self._thumb, thumb
        if size != self._size:
            self._size = size
            return True
        if before is None or np.abs(thumb - before).mean() < CUT_DIFFERENCE:
            return False
        a, b = thumb - thumb.mean(), before - before.mean()
        spread = math.sqrt(float((a * a).sum() * (b * b).sum()))
        return spread > 0 and float((a * b).sum()) / spread < CUT_CORRELATION
