"""Keypoints on an ARM processor are those of x86 in fp32: fp16 arithmetic exists on ARM only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk.artifacts import read_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.decode_simcc import decode_simcc
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import open_runtime

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")
torch = pytest.importorskip("torch")

from rtmpose_sdk.benchmarks.shifts import keypoint_shifts  # noqa: E402
from rtmpose_sdk.exporters.crops import verification_images  # noqa: E402
from rtmpose_sdk.exporters.ncnn import write_ncnn  # noqa: E402
from rtmpose_sdk.exporters.network import open_network  # noqa: E402
from rtmpose_sdk.exporters.new_card import new_card  # noqa: E402
from rtmpose_sdk.exporters.tolerance import TOLERANCES  # noqa: E402

CROPS = int(os.environ.get("RTMPOSE_ARM_CROPS", "2"))
SHIFT_PX = 1.0


@pytest.fixture(scope="module")
def network(own_checkpoint: Path) -> torch.nn.Module:
    return open_network(own_checkpoint)[0]


@pytest.fixture(scope="module")
def crops(coco: dict) -> np.ndarray:
    card = new_card("rtmpose-t", (192, 256), "coco17")
    return verification_images(card, coco["folder"], coco["file"], CROPS)


def _write(network: torch.nn.Module, folder: Path) -> Path:
    path = folder / "pose.param"
    write_ncnn(network, new_card("rtmpose-t", (192, 256), "coco17"), path, precision="fp16")
    return path


@pytest.fixture(scope="module")
def artifact(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(network, tmp_path_factory.mktemp("ncnn"))


def _on_x86(artifact: Path, images: np.ndarray) -> tuple[dict, np.ndarray, ModelCard]:
    with open_runtime(artifact, threads=1) as runtime:
        card = read_card(runtime)
        tensors = Normalizer(card)(images)
        names = [spec.name for spec in runtime.outputs]
        return dict(zip(names, runtime.run(tensors), strict=True)), tensors, card


def _compare(want: dict, have: dict, card: ModelCard, precision: str, what: str) -> None:
    assert all(np.isfinite(values).all() for values in have.values())
    shifts, ties = keypoint_shifts(want, have, card, TOLERANCES[precision].tie)
    a, b = (decode_simcc(v["simcc_x"], v["simcc_y"], 2.0, 10.0).keypoints for v in (want, have))
    moved = np.linalg.norm(a - b, axis=-1)
    print(  # noqa: T201 - pytest -rP shows it
        f"{what}: worst {shifts.max():.2f} px ({ties} ties aside), "
        f"{(moved > SHIFT_PX).sum()} of {moved.size} keypoints moved more than {SHIFT_PX} px with ties"
    )
    assert shifts.max() <= SHIFT_PX


@pytest.mark.parametrize("precision", ["fp32", "fp16-storage", "fp16", "bf16"])
def test_ncnn(run_on_arm, artifact: Path, crops: np.ndarray, precision: str) -> None:
    want, tensors, card = _on_x86(artifact, crops)
    have = run_on_arm(artifact, tensors, precision)
    if precision != "fp32":  # it did compute in it
        assert not np.allclose(want["simcc_x"], have["simcc_x"], atol=1e-5)
    _compare(want, have, card, precision, f"ncnn {precision}, {len(crops)} crops")


def test_onnxruntime(run_on_arm, crops: np.ndarray) -> None:
    from rtmpose_sdk.zoo import find_model

    artifact = find_model("rtmpose-t-own")
    with open_runtime(artifact, threads=1) as runtime:
        card = read_card(runtime)
        want = dict(zip(("simcc_x", "simcc_y"), runtime.run(crops), strict=True))
    _compare(want, run_on_arm(artifact, crops), card, "fp32", f"ONNX Runtime fp32, {len(crops)} crops")


def test_fp16_holds_where_the_plain_graph_overflows(
    run_on_arm,
    network: torch.nn.Module,
    crops: np.ndarray,
    tmp_path: Path,
) -> None:
    """Kernels 4096 times as long change nothing in fp32, for a norm follows; fp16 ends at 65504."""
    import copy

    loud = copy.deepcopy(network)
    with torch.no_grad():
        loud.head.final_layer.weight *= 4096
        loud.head.final_layer.bias *= 4096
    artifact = _write(loud, tmp_path)
    want, tensors, card = _on_x86(artifact, crops[:1])
    have = run_on_arm(artifact, tensors, "fp16")
    _compare(want, have, card, "fp16", "ncnn fp16, loud network")
