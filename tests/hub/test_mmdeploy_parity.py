"""MMDeploy's SDK against ours, from the same folder: network input, keypoints, boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hub_helpers import sdk_files
from onnx import TensorProto, helper, numpy_helper

from rtmpose_sdk import Predictor, read_image
from rtmpose_sdk.benchmarks.mmdeploy_parity import detector_parity
from rtmpose_sdk.crop_mmdeploy import crop_boxes_mmdeploy
from rtmpose_sdk.geometry import crop_boxes

SIZE = (192, 256)
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@pytest.fixture(scope="module")
def peer():
    return pytest.importorskip("mmdeploy_runtime", reason="the peer is not installed: mmdeploy-runtime")


def folder_of(path: Path, nodes: list, outputs: dict[str, list[int]], tensors: list) -> Path:
    """An SDK folder of a small network that the peer's old engine can open, too."""
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIZE[1], SIZE[0]])
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()]
    graph = helper.make_graph(nodes, "probe", [entry], infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.checker.check_model(model)
    for name, content in sdk_files(model.SerializeToString(), SIZE).items():
        (path / name).write_bytes(content)
    return path


def test_the_network_sees_the_same_picture(peer, tmp_path: Path, photo: np.ndarray) -> None:
    """A network whose scores are the levels of its input shows what the peer feeds it."""
    count = 3 * SIZE[0] * SIZE[1]
    nodes = [
        helper.make_node("Reshape", ["input", "shape"], ["simcc_x"]),
        helper.make_node("Identity", ["simcc_x"], ["simcc_y"]),
    ]
    shape = numpy_helper.from_array(np.array([1, count, 1]), "shape")
    outputs = {"simcc_x": [1, count, 1], "simcc_y": [1, count, 1]}
    probe = peer.PoseDetector(str(folder_of(tmp_path, nodes, outputs, [shape])), "cpu", 0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        corner, side = rng.uniform(-20, 400, 2), rng.uniform(20, 400, 2)
        box = np.array([[*corner, *(corner + side)]], np.float32)
        levels = np.asarray(probe(photo, box))[0, :, 2].reshape(3, SIZE[1], SIZE[0]).transpose(1, 2, 0)
        ours = crop_boxes_mmdeploy(photo, box, SIZE, 1.25).images[0][:, :, ::-1]
        assert np.abs(levels * STD + MEAN - ours).max() < 1.01


def test_keypoints_are_the_same(peer, tmp_path: Path, photo: np.ndarray) -> None:
    """A linear network of 17 keypoints, whose peaks hang on the whole picture."""
    rng = np.random.default_rng(1)
    cells = 3 * 8 * 6
    nodes = [
        helper.make_node("AveragePool", ["input"], ["small"], kernel_shape=[32, 32], strides=[32, 32]),
        helper.make_node("Reshape", ["small", "flat"], ["cells"]),
    ]
    tensors = [numpy_helper.from_array(np.array([1, cells]), "flat")]
    for axis, bins in (("x", 384), ("y", 512)):
        weights = rng.normal(0, 1, (cells, 17 * bins)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weights, f"weights_{axis}"))
        tensors.append(numpy_helper.from_array(np.array([1, 17, bins]), f"shape_{axis}"))
        nodes.append(helper.make_node("MatMul", ["cells", f"weights_{axis}"], [f"flat_{axis}"]))
        nodes.append(helper.make_node("Reshape", [f"flat_{axis}", f"shape_{axis}"], [f"simcc_{axis}"]))
    folder = folder_of(tmp_path, nodes, {"simcc_x": [1, 17, 384], "simcc_y": [1, 17, 512]}, tensors)
    boxes = np.array([[0, 0, 512, 512], [33.3, 71.7, 222.9, 390.1], [-9, 300, 200, 600]], np.float32)
    theirs = np.asarray(peer.PoseDetector(str(folder), "cpu", 0)(photo, boxes))
    with Predictor(folder, threads=1) as predictor:
        ours = predictor(photo, boxes)
    assert np.abs(ours.keypoints - theirs[..., :2]).max() < 0.5
    np.testing.assert_allclose(ours.keypoint_scores, theirs[..., 2], rtol=1e-3)


def test_boxes_are_the_same(peer, detector_folder: Path, coco_persons: list) -> None:
    found = detector_parity(detector_folder, [path for path, _ in coco_persons[:15]])
    assert found.compared > 20
    assert found.worst <= 1.0
    assert found.missing == 0


def test_both_crops_show_the_same_person(coco_persons: list) -> None:
    """Needs no peer: MMDeploy's whole-px crop and MMPose's affine one differ by about a px."""
    for path, boxes in coco_persons[:10]:
        picture = read_image(path)
        whole = crop_boxes_mmdeploy(picture, boxes, SIZE, 1.25)
        affine = crop_boxes(picture, boxes, SIZE, 1.25)
        corners = np.tile(np.array([[0, 0], [191, 255], [96, 128]], np.float32), (len(boxes), 1, 1))
        apart = np.abs(whole.to_picture(corners) - affine.to_picture(corners)).max(axis=(1, 2))
        assert (apart < 1.5 + 1.0 * affine.scales).all()


def test_a_box_outside_is_black_and_edges_are_kept() -> None:
    picture = np.full((50, 80, 3), 200, np.uint8)
    found = crop_boxes_mmdeploy(
        picture, np.array([[100, 100, 120, 130], [-30, -30, 29, 49]], np.float32), SIZE, 1.0
    )
    assert not found.images[0].any()
    assert (found.images[1][-1, -1] == 200).all()
    assert not found.images[1][0, 0].any()
