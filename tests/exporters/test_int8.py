"""int8: layers found, sensitivity measured, AP kept, bad calibration refused."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtmpose_sdk import Predictor
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.accuracy import artifact_accuracy
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.calibrate import calibration_images
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.end2end_check import INT8_LIMITS
from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part, verification_pictures
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.int8 import Scheme
from rtmpose_sdk.exporters.layers import Layer, cut_behind_layers, layers
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import save_onnx
from rtmpose_sdk.exporters.sensitivity import (
    Sensitivity,
    choose_float_layers,
    measure_sensitivity,
    output_error,
)
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.exporters.tolerance import TOLERANCES, Tolerance
from rtmpose_sdk.exporters.verify import Verification, verify
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.models import build_model
from rtmpose_sdk.models.count import count
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import DEFAULT_DETECTOR

Once = Callable[[str, Callable[[Path], object]], Path]
PROBED = 5
"""Layers that are measured where a test is not about which of them stay in float."""


def _with_graph(subject: Subject, once: Once, name: str) -> Subject:
    """The subject with its graph, which PyTorch exports once in a run."""
    folder = once(name, lambda folder: onnx.save(subject.graph, str(folder / "graph.onnx")))
    vars(subject)["graph"] = onnx.load(str(folder / "graph.onnx"))  # where cached_property keeps it
    return subject


@pytest.fixture(scope="module")
def subject(own_checkpoint: Path, once: Once) -> Subject:
    network, keypoint_set = open_network(own_checkpoint)
    card = new_card(network.name, network.input_size, keypoint_set)
    return _with_graph(Subject(card, network), once, "int8-graph")


@pytest.fixture(scope="module")
def small(once: Once) -> Subject:
    """RTMPose-t of 64x64 px, untrained."""
    torch.manual_seed(0)
    network = build_model("rtmpose-t", keypoint_set="coco17", input_size=(64, 64)).eval()
    card = new_card("rtmpose-t", (64, 64), get_keypoint_set("coco17"))
    return _with_graph(Subject(card, network), once, "int8-small-graph")


@pytest.fixture(scope="module")
def detector(once: Once) -> Subject:
    """An untrained RTMDet-nano with NMS in its graph."""
    torch.manual_seed(0)
    network = build_model("rtmdet-nano", input_size=(128, 128)).eval()
    return _with_graph(
        Subject(new_card("rtmdet-nano", (128, 128), nms=True), network), once, "int8-detector"
    )


@pytest.fixture(scope="module")
def calibration(subject: Subject, shared: Path) -> np.ndarray:
    return calibration_images(subject.card, shared / "data" / "coco_train", DEFAULT_DETECTOR, limit=64)


@pytest.fixture(scope="module")
def some_pictures(coco: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of every fourth picture: AP in a quarter of the time."""
    rows = coco["images"][::4]
    ids = {row["id"] for row in rows}
    part = {
        "images": rows,
        "annotations": [a for a in coco["annotations"] if a["image_id"] in ids],
        "categories": coco["categories"],
    }
    file = tmp_path_factory.mktemp("part") / "part.json"
    file.write_text(json.dumps(part))
    return file


def _json_once(once: Once, name: str, given: bytes, find: Callable[[], Any]) -> Any:
    """What find() gives, as JSON holds it, found once in a run for the same `given`."""
    name = f"int8-{name}-{hashlib.sha256(given).hexdigest()[:16]}"
    folder = once(name, lambda folder: (folder / "found.json").write_text(json.dumps(find())))
    return json.loads((folder / "found.json").read_text())


def _costs_once(once: Once) -> Callable[..., list[Sensitivity]]:
    """measure_sensitivity, which in a run measures the same graph with the same crops once."""

    def measured(
        graph: onnx.ModelProto, card: ModelCard, crops: np.ndarray, *, scheme: Scheme, **options: Any
    ) -> list[Sensitivity]:
        given = graph.SerializeToString(deterministic=True) + crops.tobytes()
        given += f"{card.to_json()} {scheme}".encode()
        rows = _json_once(
            once, "costs", given, lambda: measure_sensitivity(graph, card, crops, scheme=scheme, **options)
        )
        return [Sensitivity(Layer(*layer), error) for layer, error in rows]

    return measured


@pytest.fixture(scope="module")
def int8_file(
    subject: Subject, calibration: np.ndarray, coco: dict, some_pictures: Path, once: Once
) -> Callable[[str], Path]:
    """int8_file(backend) → the network in int8, with what its export found beside it: found.json."""

    def measure(artifact: Path) -> float:
        """The reference is the same of both backends."""
        figures: dict[str, float] = _json_once(
            once,
            "ap",
            artifact.read_bytes(),
            lambda: artifact_accuracy(artifact, some_pictures, coco["folder"]),
        )
        return figures["AP"]

    def made(backend: str) -> Path:
        if backend == "openvino":
            pytest.importorskip("nncf")
        name = "m.onnx" if backend == "onnx" else "m.xml"

        def make(folder: Path) -> None:
            crops = verification_images(subject.card, coco["folder"], coco["file"], 32)
            settings = ExportSettings(backend, "int8", calibration=calibration)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("rtmpose_sdk.exporters.sensitivity.measure_sensitivity", _costs_once(once))
                found = export(subject, folder / name, crops, settings=settings, measure=measure)
            assert found is not None
            (folder / "found.json").write_text(json.dumps(asdict(found)))

        return once(f"int8-{backend}", make) / name

    return made


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_int8_keeps_the_ap(subject: Subject, int8_file: Callable[[str], Path], backend: str) -> None:
    out = int8_file(backend)
    found = Verification(**json.loads(out.with_name("found.json").read_text()))
    assert found.verified, found
    assert found.accuracy is not None
    assert found.reference_accuracy is not None
    assert found.accuracy > found.reference_accuracy - 0.01
    card = artifact_card(out)
    assert card.precision == "int8"
    known = {layer.name for layer in layers(subject.graph)}
    assert 0 < len(card.float_layers) < len(known)
    assert set(card.float_layers) <= known


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_seven_bits_of_weights_leave_room_for_sums_of_two_products(
    subject: Subject,
    calibration: np.ndarray,
    int8_file: Callable[[str], Path],
    tmp_path: Path,
    backend: str,
) -> None:
    """x86 without VNNI adds two products in 16 bits and clips."""
    files = {8: int8_file(backend)}
    files[7] = tmp_path / files[8].name
    settings = ExportSettings(backend, "int8", calibration=calibration[:32], weight_bits=7)
    export(subject, files[7], None, settings=settings, track=lambda found: found[:PROBED])
    largest = {
        bits: max(int(np.abs(w.astype(int)).max()) for w in _int8_weights(file))
        for bits, file in files.items()
    }
    assert 255 * largest[7] * 2 < 2**15 < 255 * largest[8] * 2


def _int8_weights(path: Path) -> list[np.ndarray]:
    if path.suffix == ".onnx":
        held = onnx.load(path).graph.initializer
        found = [onnx.numpy_helper.to_array(t) for t in held if t.data_type == onnx.TensorProto.INT8]
    else:
        openvino = pytest.importorskip("openvino")
        constants = [
            o for o in openvino.Core().read_model(str(path)).get_ops() if o.type_info.name == "Constant"
        ]
        found = [c.get_data() for c in constants if c.get_element_type() == openvino.Type.i8]
    return [w for w in found if w.size > 1]


def test_int8_graphs_hold_what_is_fast_on_x86(int8_file: Callable[[str], Path]) -> None:
    """Unsigned activations, signed weights with a scale per channel, and the attention in float."""
    model = onnx.load(int8_file("onnx"))
    onnx.checker.check_model(model, full_check=True)
    constants = {t.name: t for t in model.graph.initializer}
    kinds = {"weight": set(), "activation": set()}
    per_channel = 0
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        weight = node.input[0] in constants and constants[node.input[0]].dims
        kind = constants[node.input[2]].data_type
        if weight and kind == onnx.TensorProto.INT8:
            per_channel += len(constants[node.input[1]].dims) == 1
        kinds["weight" if weight else "activation"].add(kind)
    assert kinds["activation"] == {onnx.TensorProto.UINT8}
    assert onnx.TensorProto.INT8 in kinds["weight"]
    assert per_channel > 20
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    products = [
        n for n in model.graph.node if n.op_type == "MatMul" and not any(i in constants for i in n.input)
    ]
    attention = [n for n in products if all(made_by.get(i) != "DequantizeLinear" for i in n.input)]
    assert len(attention) == 2  # query with key, and attention with value


@pytest.mark.parametrize(("passes", "tries"), [(2, 2), (99, 3)])
def test_what_fails_is_tried_again_with_more_in_float(
    small: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: int, tries: int
) -> None:
    crops = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), np.uint8)
    costs = [
        Sensitivity(layer, error)
        for layer, error in zip(layers(small.graph), (0.0015, 0.0006, 0.0003), strict=False)
    ]
    monkeypatch.setattr(
        "rtmpose_sdk.exporters.sensitivity.measure_sensitivity", lambda *_, **__: costs
    )  # 15 s; budgets are 0.002, 0.001, 0.0005, 0.00025
    seen: list[tuple[str, ...]] = []

    def judged(*arguments: Any, **options: Any) -> Verification:
        seen.append(arguments[2].float_layers)
        tolerance = Tolerance(
            relative=None,
            tie=0,
            slack=0,
            median=np.inf if len(seen) >= passes else -1.0,
            p99=None,
            worst=None,
            accuracy=1,
        )
        monkeypatch.setitem(TOLERANCES, "int8", tolerance)
        return verify(*arguments, **options)

    monkeypatch.setattr("rtmpose_sdk.exporters.export.verify", judged)
    settings = ExportSettings("onnx", "int8", calibration=crops)
    found = export(small, tmp_path / "m.onnx", crops[:4], settings=settings)
    assert found is not None
    assert found.verified == (passes < 99)
    assert len(seen) == tries
    for fewer, more in itertools.pairwise(seen):
        assert set(fewer) < set(more)
    card = artifact_card(tmp_path / "m.onnx")
    assert card.float_layers == seen[-1]
    assert card.verification["verified"] == found.verified
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_layers_and_their_cost(subject: Subject) -> None:
    found = layers(subject.graph)
    assert {layer.kind for layer in found} == {"Conv", "MatMul"}
    counted = sum(layer.multiply_adds for layer in found)
    network = count(subject.network).multiply_adds  # with norms, and the attention's products
    assert 0.93 * network < counted < network


def test_layers_cost_what_they_do_where_the_file_leaves_its_size_open(detector_folder: Path) -> None:
    """MMDeploy's files do; the published RTMDet-nano has 0.31 G multiply-adds at 320x320."""
    found = layers(subject_from_artifact(detector_folder).graph)
    assert sum(layer.multiply_adds for layer in found) / 1e9 == pytest.approx(0.31, abs=0.005)


def test_a_detector_is_cut_before_its_decode(detector: Subject) -> None:
    network = detector.network
    assert network is not None
    cut = cut_behind_layers(detector.graph)
    assert {node.op_type for node in cut.graph.node}.isdisjoint({"NonMaxSuppression", "ReduceMax"})
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    session = onnxruntime.InferenceSession(cut.SerializeToString())
    outputs = session.run(None, {"image": picture})
    normalize = Normalizer(replace(detector.card, input_layout="nchw", input_dtype="float32"))
    with torch.inference_mode():
        values = [level.numpy() for level in network(torch.from_numpy(normalize(picture)))]
    exponent = network.bbox_head.exp_on_reg
    distances = [v / stride for v, stride in zip(values[3:], (8, 16, 32), strict=True)]
    levels = [*values[:3], *(np.log(v) if exponent else v for v in distances)]
    assert len(outputs) == 6
    for output in outputs:
        same = [np.abs(output - level).max() for level in levels if level.shape == output.shape]
        assert min(same) < 1e-3


def test_the_layer_with_outliers_is_found(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """One channel a thousand times as large as the others, its weights as small: about the same in fp32."""
    monkeypatch.setattr("rtmpose_sdk.exporters.sensitivity.PROBE_CROPS", 4)  # they differ by tens of times
    graph = onnx.ModelProto()
    graph.CopyFrom(subject.graph)
    constants = {t.name: t for t in graph.graph.initializer}
    _, gives, takes = [node for node in graph.graph.node if node.op_type == "Conv"][:3]
    for node, channel, factor in ((gives, np.s_[0], 1000), (takes, np.s_[:, 0], 1 / 1000)):
        tensor = constants[node.input[1]]
        weight = onnx.numpy_helper.to_array(tensor).copy()
        weight[channel] *= factor
        tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    found = measure_sensitivity(graph, subject.card, verification_images(subject.card, None, None, 16))
    worst = max(found, key=lambda s: s.error)
    names = [s.layer.name for s in found]
    assert names.index(worst.layer.name) in (1, 2)  # the one that gives it, or the one that takes it
    others = [s.error for i, s in enumerate(found) if i not in (1, 2)]
    assert worst.error > 5 * max(others)
    assert worst.layer.name in choose_float_layers(found, worst.error / 2)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1e9)), min_size=1, max_size=30),
    st.floats(1e-6, 2),
)
def test_what_is_left_fits_the_budget(pairs: list[tuple[float, float]], budget: float) -> None:
    found = [Sensitivity(Layer(str(i), "Conv", cost), error) for i, (error, cost) in enumerate(pairs)]
    names = choose_float_layers(found, budget)
    left = [s for s in found if s.layer.name not in names]
    assert sum(s.error for s in left) <= budget * (1 + 1e-9)
    if names:  # one fewer would not do
        last = next(s for s in found if s.layer.name == names[-1])
        assert sum(s.error for s in left) + last.error > budget * (1 - 1e-9)


def test_errors_by_hand() -> None:
    a = np.array([[3.0, 4.0]])
    assert output_error([a], [a]) == 0
    assert output_error([a], [np.array([[3.0, 9.0]])]) == pytest.approx(1.0)
    assert output_error([a], [a * np.nan]) == float("inf")


def test_calibration_that_cannot_be_used(subject: Subject, tmp_path: Path) -> None:
    card = subject.card
    with pytest.raises(InputError, match="neither a folder nor a file"):
        calibration_images(card, tmp_path / "none", DEFAULT_DETECTOR)
    with pytest.raises(InputError, match="no picture in it"):
        calibration_images(card, tmp_path, DEFAULT_DETECTOR)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(InputError, match="1 pictures and nobody in them"):
        calibration_images(card, tmp_path, DEFAULT_DETECTOR)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"several annotation files \(a.json, b.json\)"):
        calibration_images(card, tmp_path, DEFAULT_DETECTOR)


def test_calibration_is_drawn_at_random_but_always_the_same(subject: Subject, coco: dict) -> None:
    first, again = (calibration_images(subject.card, coco["file"], "", limit=20) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (20, 256, 192, 3)
    in_order = verification_images(subject.card, coco["folder"], coco["file"], 20)
    assert not np.array_equal(first, in_order)
    by_folder = calibration_images(subject.card, coco["file"].parent, "", limit=20)
    assert np.array_equal(first, by_folder)


def test_nms_in_the_graph_is_quantised_around(detector: Subject, tmp_path: Path) -> None:
    pictures = verification_images(detector.card, None, None, 16)
    calibration = np.concatenate([pictures, pictures[:, :, ::-1]])
    settings = ExportSettings("onnx", "int8", calibration=calibration)
    export(detector, tmp_path / "d.onnx", None, settings=settings, track=lambda found: found[-PROBED:])
    with open_runtime(tmp_path / "d.onnx", threads=1) as runtime:
        assert [spec.name for spec in runtime.outputs] == ["boxes", "scores", "batch_index"]
        runtime.run(pictures[:1])
    save_onnx(detector.graph, detector.card, tmp_path / "plain.onnx")
    assert (tmp_path / "d.onnx").stat().st_size < 0.6 * (tmp_path / "plain.onnx").stat().st_size


def test_an_int8_network_in_one_file_with_its_crop(
    int8_file: Callable[[str], Path], photo: np.ndarray, tmp_path: Path
) -> None:
    file, out = int8_file("onnx"), tmp_path / "p.onnx"
    part = read_part(str(file), False)
    found = export_end2end(
        "pose", out, pose=part, detection_threshold=0.3, pictures=verification_pictures(None, None, 4)
    )
    assert found is not None
    assert found.verified, found
    assert found.limits == INT8_LIMITS
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    boxes = np.array([[90, 5, 360, 500]], np.float32)
    keypoints = session.run(["keypoints"], {"image": photo, "boxes": boxes})[0]
    with Predictor(file) as predictor:
        # OpenCV's very grey levels, but for some px: most keypoints are those of the network itself.
        assert np.median(np.abs(predictor(photo, boxes).keypoints - keypoints)) < 2
