"""Drawing: what is asked for is there, and nothing else; colours, trails, hidden faces, faded doubts."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

from rtmpose_sdk import PoseResult, drawing, get_keypoint_set
from rtmpose_sdk.drawing import LEFT, MIDDLE, RIGHT, Painter, id_color, keypoint_colors
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import KeypointSet, keypoint_set_from

COCO = get_keypoint_set("coco17")
GREY = np.full((480, 640, 3), 128, np.uint8)


def person(confidence: float = 0.9, x: float = 0.0, number: int = 1) -> PoseResult:
    keypoints = np.zeros((1, 17, 2), np.float32)
    keypoints[0] = [(100 + x + 12 * (k % 4), 80 + 18 * k) for k in range(17)]
    return PoseResult(
        np.array([[90 + x, 60, 160 + x, 400]], np.float32),
        np.ones(1, np.float32),
        keypoints,
        np.full((1, 17), confidence, np.float32),
        np.full((1, 17), confidence, np.float32),
        COCO,
        (640, 480),
        np.array([number]),
    )


def at(picture: np.ndarray, poses: PoseResult, name: str) -> tuple[int, ...]:
    x, y = poses.keypoints[0, COCO.names.index(name)].astype(int)
    return tuple(picture[y, x].tolist())


def test_sides_and_ids_have_colours() -> None:
    poses = person()
    by_side = Painter()(GREY, poses)
    assert at(by_side, poses, "left_wrist") == LEFT
    assert at(by_side, poses, "right_wrist") == RIGHT
    by_id = Painter(color_by="id")(GREY, poses)
    assert at(by_id, poses, "left_wrist") == at(by_id, poses, "right_wrist") == id_color(1)
    colors = np.array([id_color(n) for n in range(1, 9)], int)
    distances = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 999 * np.eye(8, dtype=int)
    assert distances.min() > 40
    with pytest.raises(InputError, match="color_by"):
        Painter(color_by="size")  # type: ignore[arg-type]


def test_doubtful_keypoints_fade_and_hopeless_ones_are_left_out() -> None:
    sure, doubtful, hopeless = (Painter(boxes=False, ids=False)(GREY, person(c)) for c in (0.9, 0.4, 0.2))
    strength = [np.abs(p.astype(int) - 128).sum() for p in (sure, doubtful, hopeless)]
    assert 0.3 * strength[0] < strength[1] < 0.6 * strength[0]
    assert strength[2] == 0


def test_a_trail_is_as_long_as_was_asked_for() -> None:
    painter = Painter(boxes=False, ids=False, trail=1.0, min_confidence=0.95)
    for i in range(31):
        picture = painter(GREY, person(x=10.0 * i), i / 10)
    changed = np.flatnonzero((picture != 128).any(axis=(0, 2)))
    assert 320 - 4 <= changed.min() <= 330  # the feet of a second ago
    assert 420 <= changed.max() <= 430
    nobody = dataclasses.replace(PoseResult.empty(COCO, (640, 480)), track_ids=np.empty(0, np.int64))
    np.testing.assert_array_equal(painter(GREY, nobody, 9.0), GREY)


def test_a_trail_does_not_go_on_in_another_video() -> None:
    used = Painter(boxes=False, ids=False, trail=1.0)
    for i in range(20):
        used(GREY, person(x=10.0 * i), i / 10)
    anew = Painter(boxes=False, ids=False, trail=1.0)
    for i in range(2):
        np.testing.assert_array_equal(
            used(GREY, person(x=400.0), i / 10), anew(GREY, person(x=400.0), i / 10)
        )


def test_faces_are_hidden_even_where_they_are_not_sure() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    for confidence, drawn_from in ((0.9, 0.3), (0.1, 0.3), (0.6, 0.85)):
        poses = person(confidence)
        painter = Painter(boxes=False, ids=False, hide_faces=True, min_confidence=drawn_from)
        picture = painter(noise, poses)
        kept = (picture == noise).all(axis=2)
        assert not kept[80:130, 105:130].any()
        assert kept[300:, 200:].all()


def test_outside_the_picture_nothing_breaks() -> None:
    for x in (-500.0, 600.0, 5000.0):
        poses = person(0.5, x)
        assert Painter(hide_faces=True, trail=1)(GREY, poses, 0.0).shape == GREY.shape
    tiny = np.zeros((2, 3, 3), np.uint8)
    small = dataclasses.replace(person(), image_size=(3, 2))
    assert Painter(hide_faces=True)(tiny, small).shape == tiny.shape


def test_a_picture_of_another_size_is_refused() -> None:
    for draw in (Painter(), lambda picture, poses: poses.draw(picture)):
        with pytest.raises(InputError, match=r"has 640x240 px, and the result is of one of 640x480 px"):
            draw(GREY[::2], person())


def test_trails_without_time_are_refused() -> None:
    with pytest.raises(InputError, match=r"trail is 1 s, but the frame has no time"):
        Painter(trail=1)(GREY, person())


@pytest.mark.parametrize(
    "pair",
    [
        ("ear_l", "ear_r"), ("LEye", "REye"), ("Left Eye", "Right Eye"), ("L_Knee", "R_Knee"),
        ("front_left_paw", "front_right_paw"), ("leye", "reye"), ("left_ear", "right_ear"),
    ],
)  # fmt: skip
def test_sides_have_colours_however_they_are_named(pair: tuple[str, str]) -> None:
    made = keypoint_set_from("x", {"keypoints": ["light", *pair]})
    assert keypoint_colors(made) == [MIDDLE, LEFT, RIGHT]


def test_a_side_without_its_mirror_and_pairs_without_a_side() -> None:
    assert keypoint_colors(keypoint_set_from("x", {"keypoints": ["L_Knee", "nose"]})) == [LEFT, MIDDLE]
    ends = keypoint_set_from("x", {"keypoints": ["head", "tail"], "flip_pairs": [["head", "tail"]]})
    assert keypoint_colors(ends) == [MIDDLE, MIDDLE]


def test_a_face_is_found_by_names_in_capitals() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    plain = person()
    names = tuple("".join(part.title() for part in name.split("_")) for name in COCO.names)
    named = dataclasses.replace(plain, keypoint_set=dataclasses.replace(COCO, names=names))
    painter = Painter(boxes=False, ids=False, hide_faces=True)
    np.testing.assert_array_equal(painter(noise, named), painter(noise, plain))


def test_the_given_picture_stays_as_it_is() -> None:
    given = GREY.copy()
    Painter(hide_faces=True, trail=1)(given, person(), 0.0)
    np.testing.assert_array_equal(given, GREY)


@pytest.mark.parametrize("shape", [(480, 640), (480, 640, 1), (480, 640, 4)])
def test_a_converted_picture_is_not_copied_again(shape: tuple[int, ...]) -> None:
    given = np.full(shape, 128, np.uint8)
    nobody = PoseResult.empty(COCO, (640, 480))
    tracemalloc.start()
    try:
        drawn = Painter()(given, nobody)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.5 * drawn.nbytes
    np.testing.assert_array_equal(drawn, GREY)
    np.testing.assert_array_equal(Painter()(given, person()), Painter()(GREY, person()))
    assert (given == 128).all()


def test_colours_are_looked_up_once_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(keypoint_set: KeypointSet) -> list[drawing.Color]:
        asked.append(keypoint_set)
        return keypoint_colors(keypoint_set)

    monkeypatch.setattr(drawing, "keypoint_colors", counted)
    one = person()
    several = dataclasses.replace(
        one,
        **{
            field: np.repeat(getattr(one, field), 5, axis=0)
            for field in ("boxes", "box_scores", "keypoints", "keypoint_scores", "confidences", "track_ids")
        },
    )
    Painter()(GREY, several)
    assert len(asked) == 1
