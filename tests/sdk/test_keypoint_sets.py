"""Which set a network has, by its number of keypoints and its file's name."""

from __future__ import annotations

import pytest

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import keypoint_set_named, keypoint_set_of, names_a_side


@pytest.mark.parametrize(
    ("count", "origin", "name"),
    [
        (17, "rtmpose-tiny_simcc-aic-coco_pt-aic-coco_420e-256x192-cfc8f33d_20230126.pth", "coco17"),
        (17, "rtmpose-m_simcc-ap10k_pt-aic-coco_210e-256x256-7a041aa1_20230206.pth", "ap10k17"),
        (17, "C:\\ap10k\\mine.pth", "coco17"),  # folders do not count
        (26, "anything.pth", "halpe26"),
        (14, "rtmpose-m_simcc-crowdpose_pt-aic-coco_210e-256x192-e6192cac.pth", "crowdpose14"),
        (14, "rtmpose-t_simcc-aic_256x192.pth", "aic14"),
    ],
)
def test_the_set_is_told_by_count_and_name(count: int, origin: str, name: str) -> None:
    assert keypoint_set_of(count, origin) == name


def test_what_cannot_be_told_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"mine\.pth: has 14 keypoints, which several.*crowdpose14, aic14"):
        keypoint_set_of(14, "mine.pth")
    for count in (5, None):
        with pytest.raises(InputError, match=r"no known set has.*coco17"):
            keypoint_set_of(count, "mine.pth")


@pytest.mark.parametrize(
    "pair",
    [
        ("left_eye", "right_eye"), ("LeftEye", "RightEye"), ("eye_left", "eye_right"), ("l_eye", "r_eye"),
        ("L.Eye", "R.Eye"), ("eye.L", "eye.R"), ("front_l_paw", "front_r_paw"), ("EyeL", "EyeR"),
        ("LEye", "REye"), ("LShoulder", "RShoulder"), ("LF_paw", "RF_paw"), ("leye", "reye"),
        ("LASI", "RASI"), ("L", "R"),
    ],
)  # fmt: skip
def test_names_tell_the_mirror_pairs(pair: tuple[str, str]) -> None:
    assert keypoint_set_named("made up", ("nose", *pair)).flip_indices == (0, 2, 1)
    assert keypoint_set_named("made up", ("nose", pair[0])).flip_indices == (0, 1)


@pytest.mark.parametrize("names", [("FOOL", "FOOR"), ("eye", "mouth"), ("LEye", "reye")])
def test_other_names_are_no_pair(names: tuple[str, str]) -> None:
    assert keypoint_set_named("made up", names).flip_indices == (0, 1)


def test_pairs_are_mutual() -> None:
    """An r for the l makes a "right" of the light, and the right one is the left one's."""
    assert keypoint_set_named("made up", ("light", "left", "right")).flip_indices == (0, 2, 1)


def test_names_that_say_a_side() -> None:
    said = [
        name for name in ("Lpaw", "paw_left", "L.Eye", "REye", "lip", "rump", "nose") if names_a_side(name)
    ]
    assert said == ["paw_left", "L.Eye", "REye"]
