"""How does a result look on its picture?"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.keypoint_sets import KeypointSet
from rtmpose_sdk.results import PoseResult

Color = tuple[int, int, int]

# BGR; left and right differ in hue and in lightness, so that they can be told apart without colours.
LEFT: Color = (60, 180, 255)
RIGHT: Color = (230, 130, 30)
MIDDLE: Color = (120, 210, 90)
BOX: Color = (220, 220, 220)
OUTLINE: Color = (25, 25, 25)

_SUBPIXEL_BITS = 4
_SHORT_SIDE_PER_WIDTH = 240
"""A line is one px wide per so many px of the picture's shorter side."""


def draw_poses(
    image: NDArray[np.uint8], result: PoseResult, min_confidence: float = 0.3
) -> NDArray[np.uint8]:
    """Boxes, skeletons and keypoints on a copy of the picture.

    Args:
        image: (H,W,3) uint8 BGR; grey and BGRA are converted.
        result: poses in px of that picture.
        min_confidence: keypoints below it, and bones that end in one, are left out.

    Returns:
        A new picture (H,W,3) uint8 BGR; left side orange, right side blue, middle green.
    """
    canvas = np.ascontiguousarray(as_bgr(image)).copy()
    width = max(1, round(min(canvas.shape[:2]) / _SHORT_SIDE_PER_WIDTH))
    colors, fine = keypoint_colors(result.keypoint_set), _fine(result.keypoint_set)
    for person in range(len(result)):
        x1, y1, x2, y2 = (int(v) for v in result.boxes[person].round())
        cv2.rectangle(canvas, (x1, y1), (x2, y2), BOX, max(1, width // 2), cv2.LINE_AA)
        visible = result.confidences[person] >= min_confidence
        points = np.rint(result.keypoints[person] * (1 << _SUBPIXEL_BITS)).astype(int).tolist()
        for a, b in result.keypoint_set.outlines:
            if visible[a] and visible[b]:
                ends = tuple(points[a]), tuple(points[b])
                cv2.line(canvas, *ends, colors[b], max(1, width // 2), cv2.LINE_AA, _SUBPIXEL_BITS)
        for a, b in result.keypoint_set.skeleton:
            if visible[a] and visible[b]:
                color = colors[b] if colors[a] == colors[b] or b in fine else MIDDLE
                for line_color, line_width in ((OUTLINE, width + 2), (color, width)):
                    cv2.line(
                        canvas,
                        tuple(points[a]),
                        tuple(points[b]),
                        line_color,
                        line_width,
                        cv2.LINE_AA,
                        _SUBPIXEL_BITS,
                    )
        for k in np.flatnonzero(visible):
            grow = 0 if k in fine else 1
            for dot_color, radius in (
                (OUTLINE, width + 2 * grow),
                (colors[k], max(1, width - 1 + 2 * grow)),
            ):
                cv2.circle(
                    canvas,
                    tuple(points[k]),
                    radius << _SUBPIXEL_BITS,
                    dot_color,
                    cv2.FILLED,
                    cv2.LINE_AA,
                    _SUBPIXEL_BITS,
                )
    return canvas


def _fine(keypoint_set: KeypointSet) -> set[int]:
    """Keypoints that lie close together, of faces, hands and feet: smaller dots, lines in their colour."""
    parts = [range(*places) for name, places in keypoint_set.parts.items() if name != "body"]
    return {k for line in keypoint_set.outlines for k in line} | {k for part in parts for k in part}


def keypoint_colors(keypoint_set: KeypointSet) -> list[Color]:
    """A colour, BGR, for each keypoint: the set's own, else by side, told by its name."""
    if keypoint_set.colors:
        return list(keypoint_set.colors)
    sides = {"left": LEFT, "right": RIGHT}
    return [sides.get(name.split("_")[0], MIDDLE) for name in keypoint_set.names]
