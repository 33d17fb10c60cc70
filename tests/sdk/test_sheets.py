"""Few tiles make a small sheet."""

from __future__ import annotations

import numpy as np
import pytest

from rtmpose_sdk.sheets import contact_sheet


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (6, 6, 1), (7, 6, 2)])
def test_a_sheet_is_as_wide_as_its_tiles(count: int, columns: int, rows: int) -> None:
    tiles = [np.zeros((50, 40, 3), np.uint8)] * count
    sheet = contact_sheet(tiles, [""] * count, columns=6)
    assert sheet.shape == (rows * (50 + 16), columns * 40, 3)
