"""A fitted letterbox: a detector's graph leaves its sides open, and finds its boxes at any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from rtmpose_sdk import Detector, Pipeline
from rtmpose_sdk.artifacts import artifact_card, open_model
from rtmpose_sdk.benchmarks.multiply_adds import multiply_adds
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.exporters.cli import app
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.dets import main
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import replace_card
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import Subject, subject_from_artifact
from rtmpose_sdk.exporters.verify import torch_reference
from rtmpose_sdk.images import read_image
from rtmpose_sdk.models import build_model
from rtmpose_sdk.zoo import find_model

SIZES = [(320, 320), (192, 320), (320, 96), (32, 32)]
"""Rows and columns."""


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def subject() -> Subject:
    """A detector whose weights say something, at least."""
    torch.manual_seed(3)
    network = build_model("rtmdet-nano", input_size=(320, 320))
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.5, 0.5)
    return Subject(new_card("rtmdet-nano", (320, 320)), network.eval())


@pytest.fixture(scope="session")
def onnx_file(subject: Subject, once: Once) -> Path:
    def make(folder: Path) -> None:
        found = export(subject, folder / "d.onnx", verification_images(subject.card, None, None, 16))
        assert found is not None
        assert found.verified

    return once("open-sides-onnx", make) / "d.onnx"


@pytest.fixture(scope="session")
def openvino_file(onnx_file: Path, once: Once) -> Path:
    given = subject_from_artifact(onnx_file)
    return (
        once("open-sides-openvino", lambda folder: exported(given, folder / "d.xml", "openvino")) / "d.xml"
    )


@pytest.fixture(scope="module")
def fixed_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("fixed") / "d.onnx"
    words = ["--weights", "rtmdet-nano-own", "--fixed-size", "--no-verify", "--out", str(file)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return file


def exported(subject: Subject, file: Path, backend: str) -> Path:
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}.get(backend, "torch"))
    export(subject, file, None, settings=ExportSettings(backend, "fp32"))
    return file


def pictures(rows: int, columns: int, count: int) -> np.ndarray:
    return np.random.default_rng(rows + columns).integers(0, 256, (count, rows, columns, 3), np.uint8)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("suffix", ["onnx", "xml"])
def test_the_networks_boxes_at_any_size(
    subject: Subject, request: pytest.FixtureRequest, suffix: str, rows: int, columns: int
) -> None:
    file = request.getfixturevalue({"onnx": "onnx_file", "xml": "openvino_file"}[suffix])
    given = pictures(rows, columns, 2)
    want = torch_reference(subject.network, subject.card)(given)[0]
    runtime, card = open_model(file, "detect", threads=1)
    with runtime:
        assert card.letterbox == "fitted"
        assert runtime.inputs[0].shape == (None, None, None, 3)
        found = dict(zip([spec.name for spec in runtime.outputs], runtime.run(given), strict=True))
    points = sum((rows // s) * (columns // s) for s in (8, 16, 32))
    assert found["boxes"].shape == (2, points, 4)
    for name, values in want.items():
        assert np.abs(found[name] - values).max() <= 1e-4 * np.abs(values).max()


@pytest.mark.parametrize("backend", ["torch", "ncnn"])
@pytest.mark.parametrize("source", ["network", "file"])
def test_engines_of_one_size_say_so(
    subject: Subject, onnx_file: Path, tmp_path: Path, backend: str, source: str
) -> None:
    if backend == "ncnn":
        pytest.importorskip("pnnx")
    suffix = {"torch": ".pt2", "ncnn": ".param"}[backend]
    given = subject if source == "network" else subject_from_artifact(onnx_file)
    file = exported(given, tmp_path / f"d{suffix}", backend)
    with Detector(file, threads=1) as detector:
        assert detector.card.letterbox == "full"
        assert detector.letterbox(np.zeros((90, 160, 3), np.uint8))[0].shape == (320, 320, 3)


def test_a_full_subject_has_the_cards_sides(onnx_file: Path) -> None:
    """One of a file; that of a network is in `test_torch_graph`."""
    subject = subject_from_artifact(onnx_file)
    given = subject.full().graph.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in given[1:]] == [320, 320, 3]
    for model in (subject.graph, onnx.load(str(onnx_file))):  # the latter is what the network's graph was
        sides = model.graph.input[0].type.tensor_type.shape.dim[1:3]
        assert [d.dim_param for d in sides] == ["height", "width"]


@pytest.mark.parametrize(
    ("size", "wanted"), [((1280, 720), (192, 320)), ((480, 640), (320, 256)), ((99, 99), (320, 320))]
)
def test_a_picture_fills_up_to_the_next_step_only(
    onnx_file: Path, size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    with Detector(onnx_file, threads=1) as detector:
        run, seen = detector.runtime.run, []
        detector.runtime.run = lambda array: seen.append(array.shape) or run(array)
        detector(np.zeros((size[1], size[0], 3), np.uint8))
    assert seen == [(1, *wanted, 3)]


def test_the_bundled_detector_finds_the_same_people(coco_persons: list, tmp_path: Path) -> None:
    bundled = find_model("rtmdet-nano-own")
    (tmp_path / "full.onnx").write_bytes(bundled.read_bytes())
    card = artifact_card(bundled)
    assert card.letterbox == "fitted"
    replace_card(tmp_path / "full.onnx", replace(card, letterbox="full"))
    found, large = {"full": 0, "fitted": 0}, 0
    with (
        Detector(tmp_path / "full.onnx", threads=1, score_threshold=0.3) as full,
        Detector(bundled, threads=1, score_threshold=0.3) as fitted,
    ):
        for path, truth in coco_persons[:60]:
            picture = read_image(path)
            boxes = truth[(truth[:, 2:] - truth[:, :2]).prod(axis=1) >= 96**2]
            large += len(boxes)
            for name, detector in (("full", full), ("fitted", fitted)):
                overlap = iou(boxes, detector(picture).boxes)
                found[name] += int((overlap > 0.5).any(axis=1).sum()) if overlap.size else 0
    assert large > 40
    assert found["full"] > 0.5 * large
    assert abs(found["full"] - found["fitted"]) <= 0.06 * large


def test_a_card_that_promises_open_sides(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(str(onnx_file))
    for place, side in zip((1, 2), (320, 320), strict=True):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = side
    onnx.save(model, str(tmp_path / "fixed.onnx"))
    with pytest.raises(CardError, match=r"letterbox 'fitted'.*takes image: uint8 \(N,320,320,3\)"):
        Detector(tmp_path / "fixed.onnx")


@pytest.mark.parametrize("size", [256, (512, 320), np.int64(320), np.array([320, 256])])
def test_another_size_is_what_a_card_of_that_size_says(
    size: Any, tmp_path: Path, photo: np.ndarray
) -> None:
    wanted = (int(size),) * 2 if np.ndim(size) == 0 else tuple(map(int, size))
    (tmp_path / "d.onnx").write_bytes(find_model("rtmdet-nano-own").read_bytes())
    replace_card(tmp_path / "d.onnx", replace(artifact_card(tmp_path / "d.onnx"), input_size=wanted))
    with (
        Detector("rtmdet-nano-own", threads=1, input_size=size) as asked,
        Detector(tmp_path / "d.onnx", threads=1) as card,
        Pipeline(threads=1, detector_size=size) as pipeline,
    ):
        assert asked.card == replace(card.card, version=asked.card.version)
        have, want = asked(photo, 0.3), card(photo, 0.3)
        assert pipeline.detector is not None
        assert pipeline.detector.card.input_size == wanted
        np.testing.assert_array_equal(pipeline(photo).boxes, want.boxes)
    assert len(want) >= 1
    np.testing.assert_array_equal(have.boxes, want.boxes)


def test_a_larger_size_finds_a_smaller_person(photo: np.ndarray) -> None:
    field = np.full((1024, 1024, 3), 114, np.uint8)
    field[600:728, 300:428] = cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA)
    found = {}
    for size in (256, 768):
        with Detector("rtmdet-nano-own", threads=1, score_threshold=0.5, input_size=size) as detector:
            found[size] = detector(field).boxes
    assert len(found[256]) == 0
    assert (iou(found[768], np.array([[300, 600, 428, 728]], np.float32)) > 0.3).any()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (300, "input size is 300x300; expected a width and a height in multiples of 32 px"),
        ((320, 0), "input size is 320x0"),
        (64000, "input size is 64000x64000; expected .* up to 8192"),
        ((320, 320, 3), "input size is 320x320x3"),
        (256.0, "input size is 256.0; expected"),
        ("320", "input size is '320'; expected"),
    ],
)
def test_sizes_that_no_detector_takes(size: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Detector("rtmdet-nano-own", threads=1, input_size=size)


def test_a_detector_of_one_size_keeps_it(fixed_detector: Path) -> None:
    with pytest.raises(InputError, match=r"takes 384x384 px only, and 256x256 was asked for") as error:
        Detector(fixed_detector, threads=1, input_size=256)
    assert "export it with --input-size 256x256" in str(error.value)
    with Detector(fixed_detector, threads=1, input_size=384) as detector:  # its own
        assert (detector.card.input_size, detector.card.letterbox) == ((384, 384), "full")


def test_a_published_folder_takes_other_sizes(
    detector_folder: Path, coco_persons: list, photo: np.ndarray
) -> None:
    with (
        Detector(detector_folder, threads=1, score_threshold=0.3) as full,
        Detector(detector_folder, threads=1, score_threshold=0.3, input_size=320) as fitted,
    ):
        assert (full.card.letterbox, fitted.card.letterbox) == ("full", "fitted")
        np.testing.assert_array_equal(full(photo).boxes, fitted(photo).boxes)  # a square
        found, everybody = 0, 0
        for path, _ in coco_persons[:40]:
            picture = read_image(path)
            # Of boxes near the threshold, either may have more.
            want, have = full(picture, 0.5).boxes, fitted(picture).boxes
            everybody += len(want)
            found += int((iou(want, have) > 0.7).any(axis=1).sum()) if len(want) and len(have) else 0
    assert everybody > 50
    assert found >= 0.95 * everybody


def test_a_size_without_a_detector() -> None:
    with pytest.raises(InputError, match="detector_size is 256, but there is no detector"):
        Pipeline(detector=None, threads=1, detector_size=256)


def test_openvino_keeps_the_networks_of_late(openvino_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 4  # instead of a dozen, which take long to compile
    monkeypatch.setattr("rtmpose_sdk.runtimes.openvino._MOST_NETWORKS", most)
    runtime, _ = open_model(openvino_file, "detect", threads=1)
    with runtime:
        for columns in range(32, 32 * (most + 3), 32):
            runtime.run(pictures(32, columns, 1))
            runtime.run(pictures(32, 32, 1))
        kept = list(runtime._requests)
    assert len(kept) == most
    assert (1, 32, 32, 3) in kept
    assert (1, 32, 64, 3) not in kept


def test_what_open_sides_cost_is_not_known(onnx_file: Path) -> None:
    assert multiply_adds(onnx_file) is None


def test_a_fixed_size_on_request(fixed_detector: Path, tmp_path: Path) -> None:
    with Detector(fixed_detector, threads=1) as detector:
        assert detector.card.letterbox == "full"
        assert detector.runtime.inputs[0].shape == (None, 384, 384, 3)
    words = ["--weights", "rtmpose-t-own", "--fixed-size", "--no-verify", "--out", str(tmp_path / "t.onnx")]
    refused = CliRunner().invoke(app, words)
    assert "--fixed-size is for detectors; rtmpose-t has one size anyway" in str(refused.exception)


@pytest.mark.parametrize("size", [(512, 300), (300, 512), (200, 200)])
def test_mmdeploys_outputs_say_the_same(
    size: tuple[int, int], tmp_path: Path, photo: np.ndarray, once: Once
) -> None:
    made = once("open-sides-dets", lambda folder: main("rtmdet-nano-own", folder / "dets.onnx"))
    picture = np.ascontiguousarray(photo[: size[1], : size[0]])
    with (
        Detector("rtmdet-nano-own", threads=1) as ours,
        Detector(made / "dets.onnx", threads=1) as theirs,
    ):
        assert (theirs.card.decoder, theirs.card.letterbox) == ("mmdeploy_dets", "fitted")
        want, have = ours(picture), theirs(picture)
    assert len(want) > 3
    np.testing.assert_allclose(have.scores, want.scores, atol=1e-5)
    np.testing.assert_allclose(have.boxes, want.boxes, atol=1e-2)
    with pytest.raises(InputError, match="decoder simcc; expected boxes, a detector without --nms"):
        main("rtmpose-t-own", tmp_path / "t.onnx")
