"""End2end artifacts: what they give is what Python gives, in two engines, whatever they are given."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtmpose_sdk import Detections, Detector, Pipeline, Predictor, read_image
from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.exporters.cli import main
from rtmpose_sdk.exporters.end2end import Part, build_end2end
from rtmpose_sdk.exporters.end2end_crop import crop, letterbox, picture_input
from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part, verification_pictures
from rtmpose_sdk.exporters.onnx_graph import OnnxGraph, name_nodes
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.geometry import letterbox as letterbox_in_python

BIN = Path(sys.executable).parent
KINDS = ("pose", "detector", "pipeline")
BAD_BOXES = [[np.nan, 0, 5, 5], [900, 900, 950, 950], [5, 5, 1, 1], [0, 0, np.inf, 9], [-9, -9, -1, -1]]


@functools.cache
def parts() -> tuple[Part, Part]:
    return read_part("rtmpose-t-own", False), read_part("rtmdet-nano-own", False)


def make(folder: Path) -> None:
    pose, detector = parts()
    for kind in KINDS:
        found = export_end2end(
            kind,
            folder / f"{kind}.onnx",
            pose=pose if kind != "detector" else None,
            detector=detector if kind != "pose" else None,
            detection_threshold=0.3,
            pictures=verification_pictures(None, None, 4),
        )
        assert found.verified
        assert found.boxes > 8
        assert found.box_shift < 0.05
        assert found.exact > 0.95 or kind == "detector"


@pytest.fixture(scope="session")
def files(once: Callable[[str, Callable[[Path], object]], Path]) -> dict[str, Path]:
    folder = once("end2end", make)
    return {kind: folder / f"{kind}.onnx" for kind in KINDS}


def session(file: Path | bytes) -> onnxruntime.InferenceSession:
    given = str(file) if isinstance(file, Path) else file
    return onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])


@functools.cache
def sampler(kind: str) -> onnxruntime.InferenceSession:
    g = OnnxGraph()
    picture = picture_input(g)
    if kind == "crop":
        card = parts()[0].card
        made = crop(g, picture, g.input("boxes", "float32", ["n", 4]), card)
        g.output("scale", made.scale, "float32", ["n", 1])
    else:
        card = replace(parts()[1].card, letterbox=kind)
        made = letterbox(g, picture, card)
        g.output("factors", made.factors, "float32", [1, 4])
    g.output("images", made.images, "uint8", ["n", "h", "w", 3])
    return session(g.model({}).SerializeToString())


def noise(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(width * 10007 + height)
    small = rng.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from(["full", "fitted"]))
@example(4, 3, "full")
def test_letterbox_is_opencvs(width: int, height: int, kind: str) -> None:
    picture, card = noise(width, height), replace(parts()[1].card, letterbox=kind)
    want, factors = letterbox_in_python(picture, card.input_size, card.pad_value, card.letterbox_step)
    found, images = sampler(kind).run(None, {"image": picture})
    assert images[0].shape == want.shape
    apart = np.abs(images[0].astype(int) - want)
    assert apart.max() <= 1
    # A picture of a few px, a hundred times larger, has whole areas where one level's rounding is a tie.
    share = (apart > 0).sum() / (3 * np.prod(card.input_size))
    assert share < (0.01 if min(width, height) > 16 else 0.05)
    np.testing.assert_allclose(found[0], factors, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 700), st.integers(1, 700)),
    st.tuples(st.floats(-300, 600), st.floats(-300, 600)),
    st.tuples(st.floats(1, 900), st.floats(1, 900)),
)
def test_crop_is_opencvs(size: tuple, corner: tuple, sides: tuple) -> None:
    picture, card = noise(*size), parts()[0].card
    box = np.array([[*corner, corner[0] + sides[0], corner[1] + sides[1]]], np.float32)
    want = crop_boxes(picture, box, card.input_size, card.bbox_padding)
    scale, images = sampler("crop").run(None, {"image": picture, "boxes": box})
    apart = np.abs(images[0].astype(int) - want.images[0])
    assert (apart > 1).mean() < 0.01
    np.testing.assert_allclose(scale[:, 0], want.scales, rtol=1e-6)


def test_keypoints_of_real_people(files: dict[str, Path], coco_persons: list) -> None:
    pose, shifts = session(files["pose"]), []
    with Predictor("rtmpose-t-own") as predictor:
        for path, boxes in coco_persons[:20]:
            picture = read_image(path)
            keypoints, scores, confidences = pose.run(None, {"image": picture, "boxes": boxes})
            want = predictor(picture, boxes)
            shifts.append(np.hypot(*np.moveaxis(want.keypoints - keypoints, -1, 0)).ravel())
            assert np.median(np.abs(scores - want.keypoint_scores)) < 0.01
            assert np.median(np.abs(confidences - want.confidences)) < 1e-3
    moved = np.concatenate(shifts)
    assert len(moved) > 500
    assert np.median(moved) < 0.1
    assert np.percentile(moved, 99) < 1


def test_pipeline_finds_the_same_people(files: dict[str, Path], coco_persons: list) -> None:
    whole, count = session(files["pipeline"]), 0
    with Pipeline() as pipeline:
        for path, _ in coco_persons[:10]:
            picture = read_image(path)
            boxes, scores, keypoints, _, _ = whole.run(None, {"image": picture})
            want = pipeline(picture)
            assert len(want) == len(boxes)
            assert np.abs(want.boxes - boxes).max(initial=0) < 1
            assert np.abs(want.box_scores - scores).max(initial=0) < 0.01
            assert keypoints.shape == want.keypoints.shape
            count += len(want)
    assert count > 10


@pytest.mark.parametrize("kind", KINDS)
def test_openvino_gives_the_same(files: dict[str, Path], photo: np.ndarray, kind: str) -> None:
    fp32 = {"INFERENCE_PRECISION_HINT": "f32"}  # or bf16 where the processor has it
    compiled = openvino.compile_model(str(files[kind]), "CPU", fp32)
    boxes = np.array([[50, 50, 400, 500], *BAD_BOXES, [9, 9, 30, 40]], np.float32)
    for given_boxes in (boxes, boxes[:0], boxes[1:6]) if kind == "pose" else (None,):
        for picture in (photo, np.zeros((50, 40, 3), np.uint8)):
            feed = {"image": picture} | ({} if given_boxes is None else {"boxes": given_boxes})
            want = session(files[kind]).run(None, feed)
            found = [compiled(feed)[i] for i in range(len(want))]
            for a, b in zip(want, found, strict=True):
                assert a.shape == b.shape
                # Scores are the same everywhere; between two peaks of one height a breath decides.
                near = np.isclose(a, b, rtol=1e-3, atol=1e-2)
                assert near.all() or (a.ndim == 3 and near.mean() > 0.95)


def test_boxes_that_are_none_give_zeros(files: dict[str, Path], photo: np.ndarray) -> None:
    boxes = np.array([BAD_BOXES[0], [90, 5, 360, 500], *BAD_BOXES[1:]], np.float32)
    found = session(files["pose"]).run(None, {"image": photo, "boxes": boxes})
    with Predictor("rtmpose-t-own") as predictor:
        want = predictor(photo, Detections(boxes[1:2], np.ones(1, np.float32), (512, 512)))
    np.testing.assert_allclose(found[0][1], want.keypoints[0], atol=1e-3)
    for values in found:
        assert not np.delete(values, 1, axis=0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_and_no_picture(files: dict[str, Path], photo: np.ndarray, kind: str) -> None:
    run = functools.partial(session(files[kind]).run, None)
    boxes = {"boxes": np.empty((0, 4), np.float32)} if kind == "pose" else {}
    for values in run({"image": np.full((33, 47, 3), 90, np.uint8)} | boxes):
        assert len(values) == 0
    empty = {"image": np.empty((0, 0, 3), np.uint8)} | boxes
    try:
        assert all(len(values) == 0 for values in run(empty))
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail as error:
        assert "returned while running" in str(error)  # noqa: PT017 - an error or nobody, both are right
    persons = {"boxes": np.array([[90, 5, 360, 500]], np.float32)} if kind == "pose" else {}
    assert all(len(values) > 0 for values in run({"image": photo} | persons))  # and the next one is seen


def test_metadata_tells_what_a_program_must_know(files: dict[str, Path]) -> None:
    model = onnx.load(str(files["pipeline"]))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["rtmpose_end2end"] == "pipeline"
    assert json.loads(told["keypoint_names"])[9] == "left_wrist"
    assert [5, 7] in json.loads(told["skeleton"])
    assert json.loads(told["pose_card"])["name"] == "rtmpose-t"
    assert json.loads(told["detector_card"])["name"] == "rtmdet-nano"
    assert json.loads(told["verification"])["verified"] is True
    assert len(told["usage"].splitlines()) == 2
    assert {entry.domain for entry in model.opset_import} == {""}
    assert {node.domain for node in model.graph.node} == {""}
    assert len({node.name for node in model.graph.node} - {""}) == len(model.graph.node)


def test_nodes_without_a_name_get_one_of_their_own() -> None:
    make = onnx.helper.make_node
    nodes = [
        make("Relu", ["x"], ["y"]),
        make("Relu", ["y"], ["z"], name="Relu_y"),
        make("Abs", ["z"], ["a"]),
    ]
    name_nodes(nodes)
    assert [node.name for node in nodes] == ["Relu_y_", "Relu_y", "Abs_a"]


def test_a_threshold_of_ones_own(photo: np.ndarray) -> None:
    detector = parts()[1]
    sure = build_end2end("detector", None, detector, 0.65).SerializeToString()
    boxes, scores = session(sure).run(None, {"image": photo})
    with Detector("rtmdet-nano-own", score_threshold=0.65) as python:
        assert len(boxes) == len(python(photo)) == 1
    assert scores[0] > 0.65


def test_networks_that_have_no_end2end_graph() -> None:
    pose, detector = parts()
    with pytest.raises(InputError, match="SimCC"):
        build_end2end("pose", replace(pose, card=replace(pose.card, crop="mmdeploy")), None, 0.3)
    other = replace(detector.card, decoder="yolox", letterbox="full")
    with pytest.raises(InputError, match="RTMDet"):
        build_end2end("detector", None, replace(detector, card=other), 0.3)


def test_the_sdk_says_what_such_a_file_is(files: dict[str, Path]) -> None:
    for kind in KINDS:
        with pytest.raises(CardError, match=rf"end2end artifact \({kind}\)"):
            Pipeline(files[kind])


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--end2end", "pipeline", "--weights", "rtmpose-t-own", "--out", "p.onnx", "--storage", "fp16"]
    done = subprocess.run(
        [BIN / "rtmpose-export", *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "end2end pipeline" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["p.onnx"]

    monkeypatch.chdir(tmp_path)

    def refused(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["rtmpose-export", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 1
        return capsys.readouterr().err

    swapped = refused("--end2end", "pose", "--weights", "rtmdet-nano-own", "--out", "q.onnx")
    assert "rtmdet-nano is a detector, expected a pose network" in swapped
    backend = refused(
        *("--end2end", "pose", "--weights", "rtmpose-t-own", "--out", "q.xml", "--backend", "openvino")
    )
    assert "--backend: --end2end puts networks as they are" in backend
    ignored = refused(
        *("--end2end", "pose", "--weights", "rtmpose-t-own", "--out", "q.onnx", "--notes", "hi", "--nms")
    )
    assert "--nms, --notes: --end2end puts" in ignored
    grey = tmp_path.parent / "grey"
    grey.mkdir()
    cv2.imwrite(str(grey / "0.png"), np.full((64, 64, 3), 128, np.uint8))
    nobody = refused(
        *("--end2end", "detector", "--weights", "rtmdet-nano-own", "--out", "q.onnx", "--images", grey)
    )
    assert "nobody was found in 1 pictures" in nobody
    assert [p.name for p in tmp_path.iterdir()] == ["p.onnx"]
