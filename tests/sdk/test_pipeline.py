"""Detector, Predictor and Pipeline on real pictures with a real engine."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtmpose_sdk import Detections, Detector, Pipeline, Predictor, read_image
from rtmpose_sdk.artifacts import open_model
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.errors import (
    CardError,
    ImageError,
    InputError,
    ModelFileError,
    ModelNotFoundError,
    RTMPoseError,
)
from rtmpose_sdk.smoothing import Smoothing
from rtmpose_sdk.tracking import Tracking
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, find_model


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor("rtmpose-t-own", threads=1)


@pytest.fixture(scope="module")
def detector(detector_folder: Path) -> Detector:
    return Detector(detector_folder, threads=1, score_threshold=0.3)


def test_the_bundled_photograph(predictor: Predictor, photo: np.ndarray) -> None:
    result = predictor(photo, [[0, 0, 512, 512]])
    names = result.keypoint_set.names
    nose, left, right = (
        result.keypoints[0, names.index(n)] for n in ("nose", "left_shoulder", "right_shoulder")
    )
    np.testing.assert_allclose(nose, [222, 112], atol=20)  # read off the picture
    assert right[0] < nose[0] < left[0]  # she faces the camera: her left is on the picture's right
    assert min(left[1], right[1]) > nose[1]
    assert result.confidences[0, names.index("nose")] > 0.5


def test_one_batched_call_gives_what_single_calls_give(
    predictor: Predictor, coco_persons: list[tuple[Path, np.ndarray]]
) -> None:
    path, boxes = max(coco_persons, key=lambda item: len(item[1]))
    picture = read_image(path)
    together = predictor(picture, boxes)
    small = Predictor("rtmpose-t-own", threads=1, batch_limit=2)(picture, boxes)
    for i in range(len(boxes)):
        alone = predictor(picture, boxes[i : i + 1])
        np.testing.assert_allclose(together.keypoint_scores[i], alone.keypoint_scores[0], atol=1e-4)
        same = np.abs(together.keypoints[i] - alone.keypoints[0]) < 1e-3
        assert same.mean() > 0.97  # a tie between two bins may fall either way
    np.testing.assert_allclose(small.keypoint_scores, together.keypoint_scores, atol=1e-4)


def test_all_persons_go_through_in_one_call(predictor: Predictor, photo: np.ndarray) -> None:
    calls = []
    run = predictor.runtime.run
    predictor.runtime.run = lambda array: (calls.append(len(array)), run(array))[1]
    try:
        predictor(photo, np.tile(np.array([[0, 0, 512, 512]], np.float32), (20, 1)))
    finally:
        predictor.runtime.run = run
    assert calls == [16, 4]


def test_batches_that_an_engine_was_built_for_are_kept(photo: np.ndarray) -> None:
    """TensorRT engines take no other: more persons are more calls, fewer are filled up."""
    boxes = np.array([[0, 0, 512, 512], [100, 50, 350, 400], [50, 20, 400, 500]], np.float32)
    with Predictor("rtmpose-t-own", threads=1) as plain:
        want = plain(photo, boxes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtmpose_sdk.runtimes.base.Runtime.largest_batch", 2)
        patch.setattr("rtmpose_sdk.runtimes.base.Runtime.smallest_batch", 2)
        calls = []
        with Predictor("rtmpose-t-own", threads=1) as predictor:
            run = predictor.runtime.run
            predictor.runtime.run = lambda array: (calls.append(len(array)), run(array))[1]
            result = predictor(photo, boxes)
    assert calls == [2, 2]
    np.testing.assert_allclose(result.keypoint_scores, want.keypoint_scores, atol=1e-4)


def test_flip_test_puts_left_and_right_back(photo: np.ndarray, predictor: Predictor) -> None:
    flipping = Predictor("rtmpose-t-own", threads=1, flip_test=True)
    box = np.array([[0, 0, 512, 512]], np.float32)
    plain, averaged = predictor(photo, box), flipping(photo, box)
    sure = plain.confidences[0] > 0.7
    assert sure.sum() >= 4
    assert np.abs(plain.keypoints[0] - averaged.keypoints[0])[sure].max() < 12
    mirrored = flipping(np.ascontiguousarray(photo[:, ::-1]), box)
    flip = list(plain.keypoint_set.flip_indices)
    back = mirrored.keypoints[0, flip]
    back[:, 0] = 511 - back[:, 0]
    # The average of both sides is the same for a picture and its mirror, up to a bin.
    shift = np.abs(back - averaged.keypoints[0])[sure]
    assert np.median(shift) < 2.5


def test_detector_finds_people_and_no_ghosts(
    detector: Detector, coco_persons: list[tuple[Path, np.ndarray]]
) -> None:
    found = total = 0
    for path, boxes in coco_persons[:40]:
        detections = detector(read_image(path))
        assert (np.diff(detections.scores) <= 0).all()
        large = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= 96**2
        total += large.sum()
        found += (iou(boxes[large], detections.boxes) > 0.5).any(axis=1).sum()
    assert total > 30
    assert found / total > 0.8
    assert len(detector(np.full((480, 640, 3), 127, np.uint8))) == 0


def test_nobody_is_an_empty_result(detector_folder: Path) -> None:
    with Pipeline(detector=detector_folder, threads=1) as pipeline:
        result = pipeline(np.full((240, 320, 3), 90, np.uint8))
    assert len(result) == 0
    assert result.keypoints.shape == (0, 17, 2)
    assert result.image_size == (320, 240)


def test_pipeline_is_detector_then_predictor(
    detector_folder: Path, predictor: Predictor, coco_persons: list[tuple[Path, np.ndarray]]
) -> None:
    picture = read_image(coco_persons[0][0])
    with Pipeline(detector=detector_folder, threads=1) as pipeline:
        result = pipeline(picture)
        detections = pipeline.detector(picture)
    assert len(result) == len(detections) > 0
    np.testing.assert_array_equal(result.box_scores, detections.scores)
    np.testing.assert_allclose(result.keypoints, predictor(picture, detections).keypoints, atol=1e-3)


def test_boxes_are_asked_for_when_there_is_no_detector(photo: np.ndarray) -> None:
    pipeline = Pipeline(detector=None, threads=1)
    with pytest.raises(InputError, match="no detector and no boxes"):
        pipeline(photo)
    with pytest.raises(InputError, match="'whole'"):
        pipeline(photo, "whole")
    full = pipeline(photo, "full")
    np.testing.assert_array_equal(full.boxes, [[0, 0, 512, 512]])
    assert len(pipeline(photo, Detections.empty((512, 512)))) == 0


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, np.nan, 9]], "NaN"),
        ([[9, 9, 3, 3]], "inverted"),
        ([[3, 3, 3, 9]], "zero area"),
        ([[600, 600, 700, 700]], "wholly outside"),
    ],
)
def test_bad_boxes(predictor: Predictor, photo: np.ndarray, boxes: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predictor(photo, boxes)


def test_detections_that_are_not_of_this_picture(predictor: Predictor, photo: np.ndarray) -> None:
    box = np.array([[10, 20, 200, 300]], np.float32)
    with pytest.raises(
        InputError, match="detected in a picture of 640x480 px, and this one has 512x512 px"
    ):
        predictor(photo, Detections(box, np.ones(1, np.float32), (640, 480)))
    with pytest.raises(InputError, match="scores of boxes are NaN"):
        predictor(photo, Detections(box, np.full(1, np.nan, np.float32), (512, 512)))


def test_bad_pictures(predictor: Predictor) -> None:
    box = [[0, 0, 4, 4]]
    for picture in (np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), None):
        with pytest.raises(ImageError):
            predictor(picture, box)


def test_models_in_the_wrong_place(detector_folder: Path) -> None:
    with pytest.raises(InputError, match=r"is a detector.*a pose model is expected.*swapped"):
        Predictor(detector_folder)
    with pytest.raises(InputError, match=r"is a pose model.*a detector is expected"):
        Detector("rtmpose-t-own")
    with pytest.raises(InputError, match="swapped"):
        Pipeline(detector="rtmpose-t-own")


def test_models_that_are_none(tmp_path: Path, detector_folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'rtmpose-huge' is neither.*rtmpose-t-own"):
        Pipeline("rtmpose-huge")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelFileError, match=r"text\.onnx.*cannot open"):
        Pipeline(tmp_path / "text.onnx")
    with pytest.raises(CardError, match=r"raw_heads\.onnx.*no model card.*rtmpose-export"):
        Detector(detector_folder / "raw_heads.onnx")
    whole = find_model("rtmpose-t-own").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match=r"cut\.onnx"):
        Pipeline(tmp_path / "cut.onnx")


def test_a_checkpoint_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "weights.pth").write_text("x")
    with pytest.raises(ModelFileError, match=r"weights\.pth: not a PyTorch checkpoint"):
        Pipeline(tmp_path / "weights.pth")


def test_a_card_beside_the_file_is_read(tmp_path: Path, detector_folder: Path, photo: np.ndarray) -> None:
    card = Detector(detector_folder).card
    shutil.copy(detector_folder / "end2end.onnx", tmp_path / "net.onnx")
    (tmp_path / "net.onnx.card.json").write_text(card.to_json())
    beside, folder = (
        Detector(tmp_path / "net.onnx", threads=1),
        Detector(detector_folder, threads=1),
    )
    np.testing.assert_array_equal(beside(photo).boxes, folder(photo).boxes)
    (tmp_path / "net.onnx.card.json").write_text(card.to_json().replace("mmdeploy_dets", "boxes"))
    with pytest.raises(CardError, match=r"gives \['dets', 'labels'\]"):
        Detector(tmp_path / "net.onnx")


def test_a_pipeline_is_one_line_in_a_log() -> None:
    with Pipeline(threads=1) as pipeline:
        assert re.fullmatch(
            r"<Pipeline: rtmpose-t, detector rtmdet-nano, onnxruntime [\d.]+ on cpu>", repr(pipeline)
        )
    with Pipeline(detector=None, threads=1) as pipeline:
        assert repr(pipeline).startswith("<Pipeline: rtmpose-t, onnxruntime ")


def test_without_any_argument_the_astronaut_is_found(photo: np.ndarray) -> None:
    """What ships is enough: bundled detector, bundled pose network, no other file."""
    with Pipeline(detection_threshold=0.5, threads=1) as pipeline:
        result = pipeline(photo)
    assert len(result) == 1
    assert float(iou(result.boxes, np.array([[0, 10, 390, 512]], np.float32))[0, 0]) > 0.8
    names = result.keypoint_set.names
    np.testing.assert_allclose(result.keypoints[0, names.index("nose")], [222, 112], atol=25)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_one_predictor_serves_many_threads(photo: np.ndarray, engine: str) -> None:
    pytest.importorskip(engine)
    boxes = [np.array([[10 * i, 10, 300 + 20 * i, 500]], np.float32) for i in range(4)]
    with Predictor("rtmpose-t-own", threads=1, engine=engine) as predictor:
        want = [predictor(photo, box).keypoints for box in boxes]
        with ThreadPoolExecutor(4) as pool:
            have = list(pool.map(lambda i: predictor(photo, boxes[i % 4]).keypoints, range(40)))
    for i, keypoints in enumerate(have):
        np.testing.assert_array_equal(keypoints, want[i % 4])


def test_closing_waits_for_a_call_that_runs(photo: np.ndarray) -> None:
    predictor = Predictor("rtmpose-t-own", threads=1)
    running, may_end, log = threading.Event(), threading.Event(), []
    run, close = predictor.runtime.run, predictor.runtime.close

    def slow(array: np.ndarray) -> object:
        running.set()
        may_end.wait(10)
        outputs = run(array)
        log.append("ran")
        return outputs

    predictor.runtime.run = slow
    predictor.runtime.close = lambda: (log.append("closed"), close())
    caller = threading.Thread(target=predictor, args=(photo, [[0, 0, 512, 512]]))
    caller.start()
    running.wait(10)
    threading.Timer(0.2, may_end.set).start()
    predictor.close()
    caller.join()
    assert log == ["ran", "closed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": 0}, "device is 0; expected text: cpu"),
        ({"device": None}, "device is None; expected text"),
        ({"threads": "a"}, "threads is 'a'; expected at least 1"),
        ({"threads": 1.5}, "threads is 1.5; expected at least 1"),
        ({"threads": True}, "threads is True; expected at least 1"),
        ({"batch_limit": "a"}, "batch_limit is 'a'; expected a whole number"),
        ({"batch_limit": 1.5}, "batch_limit is 1.5; expected a whole number"),
        ({"detection_threshold": "x"}, "detection_threshold is 'x'; expected 0...1"),
        ({"detection_threshold": np.nan}, "detection_threshold is nan; expected 0...1"),
        ({"pose": None}, "the model is None; expected a name, a file"),
        ({"pose": b"rtmpose-t"}, "the model is b'rtmpose-t'; expected"),
        ({"detector": ["a"]}, r"the model is \['a'\]; expected"),
        ({"pose": ""}, "is neither a file"),
        ({"pose": "x" * 400}, "is neither a file"),
        ({"pose": "a\0b"}, "is neither a file"),
    ],
)
def test_values_of_other_kinds_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RTMPoseError, match=message):
        Pipeline(**arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    with Pipeline(
        threads=np.int64(1), detection_threshold=np.float32(0.3), batch_limit=np.int32(2)
    ) as made:
        assert made.detector is not None
        assert made.detector.score_threshold == pytest.approx(0.3)
    for wrong in ("x", np.nan, 5, True):
        with pytest.raises(InputError, match=r"score_threshold is .*expected 0\.\.\.1"):
            Detector(DEFAULT_DETECTOR, threads=1, score_threshold=wrong)


def test_a_threshold_of_one_call_is_checked(detector: Detector, photo: np.ndarray) -> None:
    assert len(detector(photo, score_threshold=np.float32(0.3))) == 1
    for wrong in (7, -0.1, np.nan, "x", True):
        with pytest.raises(InputError, match=r"score_threshold is .*expected 0\.\.\.1"):
            detector(photo, score_threshold=wrong)


def test_a_detector_of_several_pictures_at_once_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(find_model(DEFAULT_DETECTOR))
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(graph, tmp_path / "four.onnx")
    with pytest.raises(InputError, match=r"four\.onnx: takes 4 pictures at once"):
        Detector(tmp_path / "four.onnx", threads=1)


def test_a_card_beside_in_another_encoding_is_named(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(find_model(DEFAULT_DETECTOR))
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "d.onnx")
    (tmp_path / "d.onnx.card.json").write_text('{"name": "é"}', "utf-16")
    with pytest.raises(CardError, match=r"d\.onnx\.card\.json: cannot be read as text in UTF-8"):
        Detector(tmp_path / "d.onnx", threads=1)


def test_a_whole_number_that_no_float_holds_is_none() -> None:
    with pytest.raises(InputError, match=r"expected 0\.\.\.1"):
        Detector(DEFAULT_DETECTOR, threads=1, score_threshold=10**400)


def test_a_threshold_is_heard_in_videos_too(photo: np.ndarray) -> None:
    with Pipeline(detection_threshold=1.0) as pipeline:
        assert len(pipeline(photo)) == 0
        stream = pipeline.stream()
        assert [len(stream(photo, 0.1 * i).poses) for i in range(3)] == [0, 0, 0]
        given = pipeline.stream(tracking=Tracking())
        assert len(given(photo, 0.0).poses) == 1
    with pytest.raises(InputError, match=r"detection_threshold is 1\.5; expected"):
        Pipeline(detection_threshold=1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tracking(oks_weight=5), "oks_weight is 5; expected 0...1"),
        (lambda: Tracking(least_likeness=-3), "least_likeness is -3; expected 0...1"),
        (lambda: Tracking(reentry=float("nan")), "reentry is nan s; expected a finite number, at least 0"),
        (lambda: Tracking(reentry=float("inf")), "reentry is inf s; expected a finite number"),
        (lambda: Tracking(undetected=-1), "undetected is -1 s; expected a finite number, at least 0"),
        (lambda: Smoothing(min_cutoff=float("nan")), "min_cutoff is nan; expected a finite number"),
        (lambda: Smoothing(beta="4"), "beta is '4'; expected a finite number"),
    ],
)
def test_settings_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_intervals_that_are_no_whole_number() -> None:
    with Pipeline() as pipeline:
        for every in (2.5, True, 0, "5"):
            with pytest.raises(InputError, match="expected a whole number, at least 1"):
                pipeline.stream(every)  # type: ignore[arg-type]


def test_settings_for_a_model_that_is_open_already(photo: np.ndarray) -> None:
    opened = open_model("rtmpose-t-own", "pose", threads=1)
    with pytest.raises(InputError, match=r"open already, on onnxruntime .*leave out threads, device"):
        Predictor(opened, device="cuda", threads=7)
    with Predictor(opened) as predictor:
        assert len(predictor(photo, [[0, 0, 200, 300]])) == 1
