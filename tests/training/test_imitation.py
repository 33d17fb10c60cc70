"""What a teacher believes: heatmaps as SimCC bins, real and made up."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.training.imitation import SHARPNESS, ImitatedTeacher, beliefs_of_maps, imitable

COCO17 = get_keypoint_set("coco17")


def _gaussian(x: float, y: float, height: float = 1.0) -> torch.Tensor:
    """A map (1,1,64,48) with a Gaussian of two cells around a cell."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    return height * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))[None, None]


@pytest.mark.parametrize("udp", [False, True])
@given(st.floats(8, 40), st.floats(8, 56))
def test_a_gaussian_of_a_map_is_a_narrower_one_of_bins(udp: bool, x: float, y: float) -> None:
    found = beliefs_of_maps(_gaussian(x, y), (192, 256), 2.0, udp)
    for axis, cell, cells, pixels in ((found.x, x, 48, 192), (found.y, y, 64, 256)):
        factor = (pixels - 1) / (cells - 1) if udp else pixels / cells
        assert axis.sum().item() == pytest.approx(1, abs=1e-5)
        places = torch.arange(pixels * 2) / 2
        mean = (axis[0, 0] * places).sum().item()
        # Linear interpolation between cells; a quarter of a cell is one px.
        assert mean == pytest.approx(cell * factor, abs=0.3)
        spread = ((places - mean) ** 2 * axis[0, 0]).sum().sqrt().item()
        narrow = 2 * factor / SHARPNESS**0.5
        assert narrow < spread < narrow * 1.2


def test_two_cells_by_hand() -> None:
    """Cells 0 and 1 of two at px 0 and 2 of four; bin 1 is half of each, bins 2 and 3 are cell 1."""
    maps = torch.tensor([[[[1.0, 0.0]]]])
    found = beliefs_of_maps(maps, (4, 1), 1.0)
    assert found.x[0, 0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert found.y[0, 0].tolist() == [1]


def test_a_map_without_a_peak_weighs_nothing_and_a_low_one_little() -> None:
    maps = torch.cat([_gaussian(20, 30, height) for height in (0.0, 0.09, 0.5, 1.3)], dim=1)
    found = beliefs_of_maps(maps, (192, 256), 2.0)
    assert found.weights[0].tolist() == pytest.approx([0, 0, 0.5, 1])
    assert torch.isfinite(found.x).all()
    # A peak's height is no part of where it is.
    torch.testing.assert_close(found.x[0, 2], found.x[0, 3])


def test_another_input_size_is_refused(photo_path: Path) -> None:
    bundled = photo_path.parent / "rtmpose-t-own.onnx"
    with pytest.raises(InputError, match=r"at \(192, 256\); to be.*at \(96, 128\)"):
        ImitatedTeacher(bundled, COCO17, (96, 128), 2.0)


def test_other_bins_are_refused(photo_path: Path) -> None:
    bundled = photo_path.parent / "rtmpose-t-own.onnx"
    assert imitable(bundled, (192, 256), 2.0)
    assert not imitable(bundled, (192, 256), 3.0)
    with pytest.raises(InputError, match="simcc of 3 bins per px"):
        ImitatedTeacher(bundled, COCO17, (192, 256), 3.0)


def test_a_simcc_teacher_believes_what_it_answers(photo_path: Path, photo: np.ndarray) -> None:
    bundled = photo_path.parent / "rtmpose-t-own.onnx"
    crops = np.stack([cv2.resize(photo, (192, 256))] * 2)
    beliefs = ImitatedTeacher(bundled, COCO17, (192, 256), 2.0)(crops)
    assert (beliefs.weights == 1).all()
    with Predictor(bundled) as predictor:
        outputs = predictor.crop_outputs(crops)
        beta = artifact_card(bundled).simcc_beta
    expected = np.exp(outputs["simcc_x"] * beta)
    np.testing.assert_allclose(beliefs.x, expected / expected.sum(-1, keepdims=True), rtol=1e-3, atol=1e-6)


def test_a_real_heatmap_teacher_believes_what_it_answers(tinypose: Path, coco: dict) -> None:
    """PP-TinyPose, which takes one crop at a time."""
    crops = verification_images(artifact_card(tinypose), coco["folder"], coco["file"], 24)
    beliefs = ImitatedTeacher(tinypose, COCO17, (192, 256), 2.0)(crops)
    with Predictor(tinypose) as predictor:
        maps = predictor.crop_outputs(crops)["heatmaps"]
    answers = decode_heatmap(maps, (192, 256), udp=False)
    sure = answers.confidences > 0.5
    assert sure.sum() > 60
    assert beliefs.weights.numpy()[sure].min() > 0.5
    believed = np.stack([axis.argmax(-1).numpy() / 2 for axis in beliefs[:2]], axis=-1)
    away = np.abs(believed - answers.keypoints)[sure]
    assert np.median(away) <= 2
    assert np.mean(away <= 4) > 0.95
