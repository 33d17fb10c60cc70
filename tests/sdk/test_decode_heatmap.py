"""Peaks between cells, both numberings of cells, and a real heatmap network.

That network's AP is measured in tests/benchmarks/test_eval_details.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpose_sdk import ModelCard, Pipeline
from rtmpose_sdk.decode_heatmap import decode_heatmap
from rtmpose_sdk.errors import CardError, EngineError

SIZE = (192, 256)


def _maps(cells: np.ndarray, size: tuple[int, int], sigma: float = 2.0) -> np.ndarray:
    """Gaussians of height 0.9 around cells (K,2)."""
    x, y = np.arange(size[0]), np.arange(size[1])
    squares = (x - cells[:, :1, None]) ** 2 + (y[:, None] - cells[:, 1:, None]) ** 2
    return (0.9 * np.exp(-squares / (2 * sigma**2)))[None].astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.floats(5, 42), st.floats(5, 58))
def test_a_peak_between_cells_is_found(x: float, y: float) -> None:
    maps = _maps(np.array([[x, y]]), (48, 64))
    plain = decode_heatmap(maps, SIZE, udp=False)
    assert plain.keypoints[0, 0].tolist() == pytest.approx([x * 4, y * 4], abs=0.25)
    udp = decode_heatmap(maps, SIZE, udp=True)
    assert udp.keypoints[0, 0].tolist() == pytest.approx([x * 191 / 47, y * 255 / 63], abs=0.25)
    assert plain.scores[0, 0] == pytest.approx(maps.max())
    assert 0.3 < plain.confidences[0, 0] <= 0.9


def _peak_of_the_whole_map_smoothed(one: np.ndarray) -> np.ndarray:
    """(2,) cells by DARK's equations, on a map (h,w) that OpenCV smooths as a whole."""
    y, x = np.unravel_index(one.argmax(), one.shape)
    if not (1 < x < one.shape[1] - 2 and 1 < y < one.shape[0] - 2):
        return np.array([x, y], float)
    logs = np.log(np.maximum(cv2.GaussianBlur(one, (5, 5), 0), 1e-10).astype(float))

    def at(dx: int, dy: int) -> float:
        return float(logs[y + dy, x + dx])

    slope = np.array([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)]) / 2
    xx = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4
    yy = (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    xy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    hessian = np.array([[xx, xy], [xy, yy]])
    if np.linalg.det(hessian) <= 0 or xx >= 0:
        return np.array([x, y], float)
    return np.array([x, y]) - np.linalg.solve(hessian, slope).clip(-1, 1)


@pytest.mark.parametrize("size", [(48, 64), (9, 6), (5, 5), (4, 7)])
def test_a_patch_of_a_map_tells_what_the_whole_map_does(size: tuple[int, int]) -> None:
    """Peaks everywhere, also where the smoothing meets the border, which OpenCV mirrors."""
    rng = np.random.default_rng(0)
    maps = _maps(rng.uniform(0, 1, (300, 2)) * (np.array(size) - 1), size)
    maps += rng.normal(0, 0.02, maps.shape).astype(np.float32)
    found = decode_heatmap(maps, size, udp=False).keypoints[0]
    want = np.stack([_peak_of_the_whole_map_smoothed(one) for one in maps[0]])
    np.testing.assert_allclose(found, want, atol=1e-3)


def test_a_quarter_of_a_cell_towards_the_higher_neighbour() -> None:
    maps = np.zeros((1, 4, 8, 6), np.float32)
    maps[0, :, 3, 2] = 1.0
    maps[0, 0, 3, 1], maps[0, 0, 4, 2] = 0.5, 0.7  # left and below
    maps[0, 1, 3, 3] = maps[0, 1, 3, 1] = maps[0, 1, 2, 2] = 0.5  # both sides alike, above
    maps[0, 3, 0, 0], maps[0, 3, 0, 1] = 2.0, 0.9  # a corner
    found = decode_heatmap(maps, (12, 16), udp=False, peak="quarter")
    assert found.keypoints[0].tolist() == [[3.5, 6.5], [4.0, 5.5], [4.0, 6.0], [0.0, 0.0]]
    assert decode_heatmap(maps[:0], SIZE, udp=False, peak="quarter").keypoints.shape == (0, 4, 2)


def test_empty_maps_border_peaks_and_ambiguity() -> None:
    maps = np.zeros((1, 3, 64, 48), np.float32)
    maps[0, 1, 0, 47] = 1.0
    maps[0, 2, 10, 10] = maps[0, 2, 50, 40] = 0.8
    found = decode_heatmap(maps, SIZE, udp=False)
    assert np.isfinite(found.keypoints).all()
    assert found.confidences[0].tolist() == pytest.approx([0.0, 1.0, 0.4])
    assert found.keypoints[0, 1].tolist() == [188, 0]
    assert decode_heatmap(maps[:0], SIZE, udp=False).keypoints.shape == (0, 3, 2)


def test_nan_is_an_error() -> None:
    maps = np.zeros((1, 1, 8, 8), np.float32)
    maps[0, 0, 3, 3] = np.nan
    with pytest.raises(EngineError, match="NaN"):
        decode_heatmap(maps, (32, 32), udp=False)


def test_a_mirrored_crop_gives_the_mirrored_pose(tinypose: Path, photo: np.ndarray) -> None:
    box = [[0, 0, 512, 512]]
    with Pipeline(tinypose, None, threads=2, flip_test=True) as pipeline:
        one, two = pipeline(photo, box), pipeline(np.ascontiguousarray(photo[:, ::-1]), box)
        order = list(pipeline.predictor.keypoint_set.flip_indices)
    sure = one.confidences[0] > 0.3
    mirrored = two.keypoints[0][order]
    mirrored[:, 0] = 511 - mirrored[:, 0]
    assert sure.sum() >= 6
    # A cell is 13 px of this picture; a flip that is off by one cell would show as that much.
    assert np.abs(mirrored - one.keypoints[0])[sure].mean() < 8


def test_a_card_that_does_not_fit_is_refused(tinypose: Path, tmp_path: Path, photo: np.ndarray) -> None:
    for name in ("model.xml", "model.bin"):
        shutil.copyfile(tinypose.parent / name, tmp_path / name)
    card = ModelCard.from_json((tinypose.parent / "model.xml.card.json").read_text(), "test")
    text = card.to_json().replace('"decoder": "heatmap"', '"decoder": "simcc"')
    (tmp_path / "model.xml.card.json").write_text(text)
    with pytest.raises(CardError, match="decoder 'simcc' reads"):
        Pipeline(tmp_path / "model.xml", None)
