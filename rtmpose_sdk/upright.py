"""A decoded picture of a video as players show it: its shape, its colours, which way is up."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SQUARE, OBLONG = 0.01, 4.0
"""Pixels whose sides differ by less than this share are square; more than so many to one is no shape."""
HD = (1280, 577)
"""From this width or height on colours that a file does not explain are BT.709's, as players take them."""
_UNSAID = 2
"""FFmpeg's number of a colour matrix that a file does not name."""


def pixel_aspect(stream: Any) -> float:
    """Width of a pixel as it is shown, by its height; 1 where that is not said, or cannot be."""
    aspect = float(stream.sample_aspect_ratio or 1)  # of the container, which goes before the codec's
    return aspect if abs(aspect - 1) > SQUARE and 1 / OBLONG <= aspect <= OBLONG else 1.0


def as_shown(picture: Any, aspect: float) -> dict[str, Any]:
    """How a picture is converted so that it has the shape and the colours that players show.

    Pixels that are wider than high (aspect above 1) make the picture wider, others make it higher: none
    of its detail goes.
    """
    options: dict[str, Any] = {}
    if aspect != 1:
        options["width"] = round(picture.width * max(aspect, 1))
        options["height"] = round(picture.height / min(aspect, 1))
    large = picture.width >= HD[0] or picture.height >= HD[1]
    if large and picture.colorspace == _UNSAID and picture.format.name.startswith("yuv"):
        options["src_colorspace"] = "ITU709"
    return options


def upright(picture: Any, convert: Any, **options: Any) -> NDArray[np.uint8]:
    """(H,W,3) uint8 BGR, turned and mirrored by the file's display matrix; see `as_shown`."""
    image: Any = convert.reformat(picture, format="bgr24", **options).to_ndarray()
    a, b, c, d = _display_matrix(picture)
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, a, d = cv2.transpose(image), c, b
    if a < 0 or d < 0:
        image = cv2.flip(image, -1 if a < 0 and d < 0 else int(a < 0))
    return np.asarray(image, np.uint8)


def _display_matrix(picture: Any) -> tuple[float, float, float, float]:
    """a, b, c, d: what is at (x, y) is shown at (a x + c y, b x + d y), but for scale and place."""
    try:
        data = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV cannot list them where FFmpeg has a kind that it does not know
        turn = math.radians(picture.rotation)  # counter-clockwise
        return math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()
    return a, b, c, d
