"""Published networks from checkpoint to picture: built, loaded, exported, run through Pipeline, drawn.

One of them runs always, the other 22 with `pytest -m every_model tests/hub/test_golden.py`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from rtmpose_sdk import Detector, Pipeline
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.subject import Subject
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import locate

SETS = {"wholebody133": "coco_wholebody133"}
STEMS = [
    *(f"rtmpose-{s}_coco17_256x192" for s in "tsml"),
    *(f"rtmpose-{s}_coco17_384x288" for s in "mlx"),
    *(f"rtmpose-{s}_halpe26_256x192" for s in "tsml"),
    *(f"rtmpose-{s}_wholebody133_256x192" for s in "tsml"),
    *(f"rtmpose-{s}_lapa106_256x256" for s in "tsm"),
    *("rtmpose-m_hand21_256x256", "rtmpose-m_ap10k17_256x256", "rtmw-m_wholebody133_256x192"),
    *("rtmdet-m_person_640x640", "rtmdet-nano_person_320x320"),
]
ALWAYS = ("rtmpose-s_halpe26_256x192",)
MODELS = [s if s in ALWAYS else pytest.param(s, marks=pytest.mark.every_model) for s in STEMS]


def golden(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden", shared / "golden" / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkpoint(shared: Path, stem: str, folder: Path) -> Path:
    """The golden weights as a checkpoint file, as OpenMMLab lays them out."""
    shapes = json.loads((shared / "golden" / f"{stem}.shapes.json").read_text())
    state = {
        k: torch.from_numpy(np.asarray(v)) for k, v in golden(shared).golden_state_dict(shapes).items()
    }
    path = folder / f"{stem.replace('ap10k17', 'simcc-ap10k17')}.pth"
    torch.save({"meta": {"epoch": 420}, "state_dict": state}, path)
    return path


def test_every_shape_list_is_here(shared: Path) -> None:
    assert {p.name.removesuffix(".shapes.json") for p in shared.glob("golden/*.shapes.json")} == set(STEMS)


@pytest.mark.filterwarnings("ignore:.*did not pass the check")
@pytest.mark.parametrize("stem", MODELS)
def test_from_checkpoint_to_picture(
    shared: Path, stem: str, tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RTMPOSE_OFFLINE", "1")
    name, words, size = stem.split("_")
    height, width = map(int, size.split("x"))
    weights = checkpoint(shared, stem, tmp_path)
    if name.startswith("rtmdet"):
        with Detector(weights, threads=2, score_threshold=0.5) as detector:
            detector(photo)
            card = detector.card
        decoded = ("boxes", "scores")
    else:
        with Pipeline(weights, None, threads=2) as pipeline:
            result = pipeline(photo, "full")
            card = pipeline.predictor.card
        assert result.keypoint_set.name == SETS.get(words, words)
        assert np.isfinite(result.keypoints).all()
        drawn = result.draw(photo, 0.0)
        assert (drawn != photo).any(axis=2).sum() > 200
        cv2.imwrite(str(tmp_path / f"{stem}.png"), drawn)
        decoded = ("simcc_x", "simcc_y")
    assert card.name == name
    assert card.input_size == (width, height)
    # With random weights RTMDet-m's distances are exponentials that overflow: 0.2 px of rounding are left.
    assert card.verification["verified"] is (name != "rtmdet-m")
    assert card.verification["p99_shift"] <= 0.5
    assert locate(weights).path.parent == tmp_path / "home" / "converted"
    stored = shared / "golden" / f"{stem}.npz"
    if stored.is_file():
        found = run_tensor(shared, weights, tmp_path / "tensor.onnx", (1, 3, height, width))
        compare(found, dict(np.load(stored)), decoded)


def run_tensor(
    shared: Path, weights: Path, out: Path, shape: tuple[int, int, int, int]
) -> dict[str, np.ndarray]:
    """Outputs of an exported artifact for the golden input."""
    network, keypoints = open_network(weights)
    card = new_card(network.name, network.input_size, keypoints, input_kind="tensor")
    export(Subject(card, network), out, None)
    with open_runtime(out, threads=2) as runtime:
        names = [spec.name for spec in runtime.outputs]
        return dict(zip(names, runtime.run(golden(shared).golden_input(shape)), strict=True))


def compare(found: dict[str, np.ndarray], stored: dict[str, np.ndarray], names: tuple[str, str]) -> None:
    if names == ("boxes", "scores"):
        logits = np.concatenate([stored[f"cls_{s}"].reshape(1, -1) for s in (8, 16, 32)], axis=1)
        wide = [stored[f"bbox_{s}"].reshape(1, 4, -1) for s in (8, 16, 32)]
        distances = np.concatenate(wide, axis=2)[0].T
        points = np.concatenate(
            [
                np.stack(np.meshgrid(*[np.arange(stored[f"cls_{s}"].shape[-1]) * s] * 2), -1).reshape(-1, 2)
                for s in (8, 16, 32)
            ]
        )
        boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
        stored = {"boxes": boxes[None], "scores": 1 / (1 + np.exp(-logits))}
    for name in names:
        want = stored[name]
        assert np.abs(found[name] - want).max() <= 1e-4 * np.abs(want).max(), name
