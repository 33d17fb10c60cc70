"""How does a result look on its picture?"""

from __future__ import annotations

import colorsys
import functools
import math
import re
from collections import deque
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import as_bgr
from rtmpose_sdk.keypoint_sets import KeypointSet, Side, sides_of
from rtmpose_sdk.results import PoseResult

Color = tuple[int, int, int]
Image = NDArray[np.uint8]
ColorBy = Literal["side", "id"]

# BGR; left and right differ in hue and in lightness, so that they can be told apart without colours.
LEFT: Color = (60, 180, 255)
RIGHT: Color = (230, 130, 30)
MIDDLE: Color = (120, 210, 90)
BOX: Color = (220, 220, 220)
OUTLINE: Color = (25, 25, 25)
_SIDES: dict[Side, Color] = {"left": LEFT, "right": RIGHT, "": MIDDLE}

_SUBPIXEL_BITS = 4
_SHORT_SIDE_PER_WIDTH = 240
"""A line is one px wide per so many px of the picture's shorter side."""
_FULL_CONFIDENCE = 0.6
"""From here on a keypoint is drawn in full, below it fades."""
_FADED = 0.45
_GOLDEN_ANGLE = 0.381966
"""Hues of one id and the next are this share of the circle apart: neighbours always differ."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""Words of a keypoint's name: left_ear, leftEar, LEar, EAR_L, "Left Ear", face-12."""
_FACE_WORD = re.compile(
    r".*(nose|eye|head|face|nostril|muzzle|snout).*"
    r"|(left|right|[lr])?(ear|brow|mouth|lip|chin|jaw|cheek)(lobe|tip|base|corner)?s?(left|right|[lr])?"
)
"""What is short stands alone: the ear of "forearm" is none, nor is "rear", unless "lear" is its mirror."""
_HIDDEN_FROM = 0.3
"""Keypoints of a face from this confidence on say where it is."""
_MOSAIC = 8
"""A hidden face keeps so many squares a side."""


class Painter:
    """Draws results on their pictures; remembers where people were, for the trails.

    Args:
        min_confidence: keypoints below it, and bones that end in one, are left out.
        color_by: "side" (left orange, right blue) or "id" (a colour for each person).
        boxes: draw the persons' boxes.
        ids: write track ids, where there are some.
        trail: seconds of the way that somebody's feet went; 0 draws none.
        hide_faces: faces become coarse squares. Where no keypoint of a face is sure, it is the upper part
            of the box.
    """

    def __init__(
        self,
        min_confidence: float = 0.3,
        color_by: ColorBy = "side",
        boxes: bool = True,
        ids: bool = True,
        trail: float = 0.0,
        hide_faces: bool = False,
    ) -> None:
        if color_by not in get_args(ColorBy):
            raise InputError(f"color_by is '{color_by}'; expected side or id")
        if trail < 0:
            raise InputError(f"trail is {trail} s; expected at least 0")
        self.min_confidence, self.color_by = min_confidence, color_by
        self.boxes, self.ids, self.trail, self.hide_faces = boxes, ids, trail, hide_faces
        self._ways: dict[int, deque[tuple[float, int, int]]] = {}

    def __call__(self, image: Image, poses: PoseResult, time: float | None = None) -> Image:
        """A new picture (H,W,3) uint8 BGR.

        Args:
            image: (H,W,3) uint8 BGR; grey and BGRA are converted.
            poses: in px of that picture.
            time: seconds; only trails need it.

        Raises:
            ImageError: not such a picture.
            InputError: the result is of a picture of another size, or trails without a time.
        """
        canvas = as_bgr(image)
        size = (canvas.shape[1], canvas.shape[0])
        if tuple(poses.image_size) != size:
            given, there = ("{}x{}".format(*each) for each in (size, poses.image_size))
            raise InputError(
                f"the picture has {given} px, and the result is of one of {there} px; draw on the picture "
                "that the result was found in"
            )
        if self.trail > 0 and time is None:
            raise InputError(
                f"trail is {self.trail} s, but the frame has no time; expected painter(image, poses, "
                "time=seconds), or trail=0"
            )
        if np.may_share_memory(canvas, image):  # a grey or BGRA picture became a new one
            canvas = canvas.copy()
        width = max(1, round(min(canvas.shape[:2]) / _SHORT_SIDE_PER_WIDTH))
        if self.hide_faces:
            for person in range(len(poses)):
                # Whatever is drawn: a doubtful ear is hidden, too.
                _hide(canvas, _face(poses, person, min(self.min_confidence, _HIDDEN_FROM)))
        self._draw_ways(canvas, poses, time or 0.0, width)
        sides, fine = keypoint_colors(poses.keypoint_set), _fine(poses.keypoint_set)
        for person in range(len(poses)):
            self._draw_person(canvas, poses, person, width, sides, fine)
        return canvas

    def _draw_person(
        self, canvas: Image, poses: PoseResult, person: int, width: int, sides: list[Color], fine: set[int]
    ) -> None:
        number = None if poses.track_ids is None else int(poses.track_ids[person])
        own = id_color(person if number is None else number)
        by_id = self.color_by == "id"
        if self.boxes:
            x1, y1, x2, y2 = (int(v) for v in poses.boxes[person].round())
            color = own if by_id else BOX
            cv2.rectangle(canvas, (x1, y1), (x2, y2), color, max(1, width // 2), cv2.LINE_AA)
        colors = [own] * len(poses.keypoint_set) if by_id else sides
        confidences = poses.confidences[person]
        faint = (confidences >= self.min_confidence) & (confidences < _FULL_CONFIDENCE)
        full = confidences >= max(_FULL_CONFIDENCE, self.min_confidence)
        points = np.rint(poses.keypoints[person] * (1 << _SUBPIXEL_BITS)).astype(int).tolist()
        bones = poses.keypoint_set.skeleton
        for a, b in poses.keypoint_set.outlines:
            if min(confidences[a], confidences[b]) >= self.min_confidence:
                thin = max(1, width // 2)
                cv2.line(canvas, points[a], points[b], colors[b], thin, cv2.LINE_AA, _SUBPIXEL_BITS)
        if faint.any():
            shown = faint | full
            weak = [(a, b) for a, b in bones if shown[a] and shown[b] and not (full[a] and full[b])]
            part = _region(canvas, poses.keypoints[person][shown], 3 * width + 4)
            if part is not None:
                before = canvas[part].copy()
                _draw_bones(canvas, points, weak, colors, width, fine)
                _draw_dots(canvas, points, np.flatnonzero(faint), colors, width, fine)
                cv2.addWeighted(canvas[part], _FADED, before, 1 - _FADED, 0, canvas[part])
        _draw_bones(canvas, points, [(a, b) for a, b in bones if full[a] and full[b]], colors, width, fine)
        _draw_dots(canvas, points, np.flatnonzero(full), colors, width, fine)
        if self.ids and number is not None:
            _write(canvas, str(number), poses.boxes[person], own, width)

    def _draw_ways(self, canvas: Image, poses: PoseResult, time: float, width: int) -> None:
        if self.trail <= 0 or poses.track_ids is None:
            return
        for way in self._ways.values():
            if way[-1][0] > time:  # another video began
                way.clear()
        for person, number in enumerate(poses.track_ids.tolist()):
            x1, _, x2, y2 = poses.boxes[person].tolist()
            self._ways.setdefault(number, deque()).append((time, round((x1 + x2) / 2), round(y2)))
        for number, way in list(self._ways.items()):
            while way and way[0][0] < time - self.trail:
                way.popleft()
            if not way:
                del self._ways[number]
                continue
            line = np.array([place[1:] for place in way], np.int32).reshape(-1, 1, 2)
            cv2.polylines(canvas, [line], False, id_color(number), width, cv2.LINE_AA)


def draw_poses(image: Image, result: PoseResult, min_confidence: float = 0.3) -> Image:
    """Boxes, skeletons and keypoints on a copy of the picture.

    Args:
        image: (H,W,3) uint8 BGR; grey and BGRA are converted.
        result: poses in px of that picture.
        min_confidence: keypoints below it, and bones that end in one, are left out.

    Returns:
        A new picture (H,W,3) uint8 BGR; left side orange, right side blue, middle green.

    Raises:
        InputError: the result is of a picture of another size.
    """
    return Painter(min_confidence)(image, result)


def _fine(keypoint_set: KeypointSet) -> set[int]:
    """Keypoints that lie close together, of faces, hands and feet: smaller dots, lines in their colour."""
    parts = [range(*places) for name, places in keypoint_set.parts.items() if name != "body"]
    return {k for line in keypoint_set.outlines for k in line} | {k for part in parts for k in part}


def keypoint_colors(keypoint_set: KeypointSet) -> list[Color]:
    """A colour, BGR, for each keypoint: the set's own, else by side."""
    return list(keypoint_set.colors) or [_SIDES[side] for side in sides_of(keypoint_set)]


@functools.lru_cache(maxsize=1024)
def id_color(number: int) -> Color:
    """A bright colour, BGR, for a track id."""
    red, green, blue = colorsys.hls_to_rgb((number * _GOLDEN_ANGLE) % 1, 0.6, 0.85)
    return round(255 * blue), round(255 * green), round(255 * red)


def _draw_bones(
    canvas: Image,
    points: list[list[int]],
    bones: list[tuple[int, int]],
    colors: list[Color],
    width: int,
    fine: set[int],
) -> None:
    for a, b in bones:
        color = colors[b] if colors[a] == colors[b] or b in fine else MIDDLE
        for line_color, line_width in ((OUTLINE, width + 2), (color, width)):
            cv2.line(canvas, points[a], points[b], line_color, line_width, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_dots(
    canvas: Image,
    points: list[list[int]],
    rows: NDArray[np.intp],
    colors: list[Color],
    width: int,
    fine: set[int],
) -> None:
    for k in rows.tolist():
        grow = 0 if k in fine else 2
        for color, radius in ((OUTLINE, width + grow), (colors[k], max(1, width - 1 + grow))):
            size = radius << _SUBPIXEL_BITS
            cv2.circle(canvas, points[k], size, color, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _write(canvas: Image, text: str, box: NDArray[np.float32], color: Color, width: int) -> None:
    """A label at the box's upper left corner, inside the picture."""
    scale, thick = 0.35 + 0.2 * width, max(1, width // 2)
    (w, h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    x = min(max(int(box[0]), 0), max(canvas.shape[1] - w - 2 * base, 0))
    y = max(int(box[1]), h + 2 * base)
    cv2.rectangle(canvas, (x, y - h - 2 * base), (x + w + 2 * base, y), color, cv2.FILLED)
    place = (x + base, y - base)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, OUTLINE, thick, cv2.LINE_AA)


def _region(canvas: Image, points: NDArray[np.float32], margin: int) -> tuple[slice, slice] | None:
    height, width = canvas.shape[:2]
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    x1, y1 = max(int(low[0]), 0), max(int(low[1]), 0)
    x2, y2 = min(int(high[0]) + 1, width), min(int(high[1]) + 1, height)
    return (slice(y1, y2), slice(x1, x2)) if x1 < x2 and y1 < y2 else None


@functools.lru_cache(maxsize=64)
def face_keypoints(keypoint_set: KeypointSet) -> tuple[int, ...]:
    """Keypoints of the head, by their names; of a set of faces, all of them."""
    names = keypoint_set.names
    if keypoint_set.target == "face":
        return tuple(range(len(names)))
    words = [[word.lower() for word in _WORD.findall(name)] for name in names]
    every = {word for each in words for word in each}
    backs = set() if "lear" in every else {"rear", "rears"}
    return tuple(
        i
        for i, each in enumerate(words)
        if any(_FACE_WORD.fullmatch(word) and word not in backs for word in each)
    )


def _face(poses: PoseResult, person: int, min_confidence: float) -> tuple[float, float, float]:
    """Centre and radius, px, of a circle around a person's head."""
    x1, y1, x2, y2 = poses.boxes[person].tolist()
    body = max(y2 - y1, 1.0)
    sure = poses.confidences[person] >= min_confidence
    rows = [i for i in face_keypoints(poses.keypoint_set) if sure[i]]
    if not rows and poses.keypoint_set.target == "face":
        return (x1 + x2) / 2, (y1 + y2) / 2, math.hypot(x2 - x1, y2 - y1) / 2
    if not rows:
        return (x1 + x2) / 2, y1 + 0.1 * body, max(0.12 * body, min((x2 - x1) / 2, 0.25 * body))
    names = [name.lower() for name in poses.keypoint_set.names]
    crown = all("head" in names[i] for i in rows)  # MPII's head_top: the face is between it and the neck
    if crown:
        rows += [i for i, name in enumerate(names) if sure[i] and "neck" in name]
    points = poses.keypoints[person][rows]
    x, y = points.mean(axis=0).tolist()
    spread = float(np.abs(points - (x, y)).max())
    return x, y, max(1.8 * spread, (0.16 if crown else 0.08) * body)


def _hide(canvas: Image, circle: tuple[float, float, float]) -> None:
    """Coarse squares instead of what is in a circle (x, y, radius)."""
    x, y, radius = circle
    part = _region(canvas, np.array([[x, y]], np.float32), max(round(radius), 2))
    if part is None:
        return
    face = canvas[part]
    small = cv2.resize(face, (_MOSAIC, _MOSAIC), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_NEAREST)
    mask = np.zeros(face.shape[:2], np.uint8)
    centre = (round(x) - part[1].start, round(y) - part[0].start)
    cv2.circle(mask, centre, round(radius), 255, cv2.FILLED)
    cv2.copyTo(coarse, mask, face)
