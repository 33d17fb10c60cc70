"""Many small pictures on one, so that they are seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_COLUMNS = 6
_BAR = 16


def contact_sheet(tiles: Sequence[Image], captions: Sequence[str], columns: int = _COLUMNS) -> Image:
    """Tiles (h,w,3) uint8 BGR of one size, in rows of at most `columns`, each under its caption."""
    height, width = tiles[0].shape[:2]
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + _BAR), columns * width, 3), 30, np.uint8)
    for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        y, x = i // columns * (height + _BAR), i % columns * width
        cv2.putText(
            sheet, caption, (x + 3, y + _BAR - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1,
            cv2.LINE_AA,
        )  # fmt: skip
        sheet[y + _BAR : y + _BAR + height, x : x + width] = tile
    return sheet
