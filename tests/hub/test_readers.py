"""Networks of every kind that people have: YOLOX raw and with NMS, RTMO, third axis, bare files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hub_helpers import simcc, tiny_network

from rtmpose_sdk import Cascade, Detector, ModelCard, OneStage, Pipeline, Predictor
from rtmpose_sdk.cascade import part_boxes
from rtmpose_sdk.decode_yolox import decode_yolox
from rtmpose_sdk.errors import CardError, InputError
from rtmpose_sdk.mmdeploy import sdk_card

BIN = Path(sys.executable).parent


def card(**values: object) -> ModelCard:
    common = {
        "name": "net",
        "color_order": "bgr",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "input_layout": "nchw",
        "input_dtype": "float32",
    }
    return ModelCard(**{**common, **values})


def bare(folder: Path, network: bytes, with_card: ModelCard | None = None) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(network)
    if with_card is not None:
        (folder / "net.onnx.card.json").write_text(with_card.to_json())
    return path


def card_new(path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [BIN / "rtmpose", "card", "new", path, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_card_of_a_name_and_of_a_file(tmp_path: Path) -> None:
    file = bare(tmp_path, tiny_network({"dets": np.zeros((1, 4, 5), np.float32)}, (64, 64)))
    for source, name in (("rtmdet-nano-own", "rtmdet-nano"), (str(file), None)):
        done = subprocess.run(
            [BIN / "rtmpose", "card", "show", source], capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        if name is None:
            assert done.returncode == 1
            assert "card" in done.stderr
        else:
            assert ModelCard.from_json(done.stdout, "show").name == name


def yolox_head(boxes: dict[int, tuple[float, float, float, float, float]], size: int = 64) -> np.ndarray:
    """A raw head with one class: cell → (cx, cy, w, h) px and score; its inverse, written down plainly."""
    cells = [(x, y, s) for s in (8, 16, 32) for y in range(size // s) for x in range(size // s)]
    head = np.zeros((1, len(cells), 6), np.float32)
    for cell, (cx, cy, w, h, score) in boxes.items():
        x, y, s = cells[cell]
        head[0, cell] = (cx / s - x, cy / s - y, np.log(w / s), np.log(h / s), score, 1.0)
    return head


def test_yolox_raw_head(tmp_path: Path, photo: np.ndarray) -> None:
    head = yolox_head({9: (20, 20, 16, 24, 0.9), 10: (21, 20, 16, 24, 0.8), 70: (48, 40, 20, 30, 0.7)})
    path = bare(
        tmp_path,
        tiny_network({"output": head}, (64, 64)),
        card(task="detect", input_size=(64, 64), decoder="yolox", nms_iou_threshold=0.5),
    )
    with Detector(path, threads=1, score_threshold=0.3) as detector:
        found = detector(photo)
    scale = 512 / 64
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=1e-6)
    np.testing.assert_allclose(
        found.boxes, np.array([[12, 8, 28, 32], [38, 25, 58, 55]]) * scale, rtol=1e-4
    )
    wrong = card(task="detect", input_size=(96, 96), decoder="yolox")
    with pytest.raises(CardError, match=r"gives 84 cells, but input \(96, 96\)"):
        decode_yolox({"yolox": head}, wrong)
    fitting = card(task="detect", input_size=(64, 64), decoder="yolox")
    with pytest.raises(CardError, match=r"gives 6 cells.*as in Ultralytics' files: it is no YOLOX"):
        decode_yolox({"yolox": head.transpose(0, 2, 1)}, fitting)


def test_yolox_scores_are_objectness_times_class() -> None:
    head = np.zeros((1, 84, 8), np.float32)  # three classes; persons are the first
    head[0, :, 4], head[0, :, 5], head[0, :, 6] = 0.5, 0.4, 1.0
    yolox = card(task="detect", input_size=(64, 64), decoder="yolox")
    _, scores = decode_yolox({"yolox": head}, yolox)
    np.testing.assert_allclose(scores, 0.2, atol=1e-6)


def rtmo(folder: Path) -> Path:
    dets = np.array([[[8, 4, 40, 60, 0.9], [9, 4, 41, 60, 0.85], [50, 10, 60, 60, 0.2]]], np.float32)
    points = np.zeros((1, 3, 17, 3), np.float32)
    points[0, 0, :, 0], points[0, 0, :, 1], points[0, 0, :, 2] = 24, 32, 0.75
    return bare(
        folder,
        tiny_network({"dets": dets, "keypoints": points}, (64, 64)),
        card(task="pose", input_size=(64, 64), decoder="rtmo", keypoint_set="coco17", score_threshold=0.1),
    )


def test_rtmo_finds_persons_and_keypoints_in_one_go(tmp_path: Path, photo: np.ndarray) -> None:
    path = rtmo(tmp_path)
    with Pipeline(path, threads=1) as pipeline:
        result = pipeline(photo)
    assert len(result) == 1  # the second is the first again, the third below the threshold
    np.testing.assert_allclose(result.boxes[0], np.array([8, 4, 40, 60]) * 8)
    np.testing.assert_allclose(result.keypoints[0], np.tile([192, 256], (17, 1)))
    np.testing.assert_allclose(result.confidences, 0.75)
    with OneStage(path, threads=1, score_threshold=0.95) as nobody:
        assert len(nobody(photo)) == 0
        assert len(nobody(photo, score_threshold=0.5)) == 1
        for wrong in (7, np.nan):
            with pytest.raises(InputError, match=r"score_threshold is .*expected 0\.\.\.1"):
                nobody(photo, score_threshold=wrong)
    with pytest.raises(InputError, match="takes no boxes"):
        Predictor(path)
    with pytest.raises(InputError, match="by itself"):
        Pipeline(path, detector="rtmdet-nano-own.onnx")
    with Pipeline(path, None) as pipeline:
        with pytest.raises(InputError, match="takes no boxes"):
            pipeline(photo, [[0, 0, 9, 9]])
        with pytest.raises(InputError, match=r"detect_every is 5, but .* in every frame: leave it out"):
            pipeline.stream(5)
        shown = [found.poses for _, found in pipeline.follow([photo] * 8)]
    assert [poses.track_ids.tolist() for poses in shown] == [[1]] * 8
    np.testing.assert_allclose(shown[-1].keypoints[0], np.tile([192, 256], (17, 1)), atol=0.5)


def test_threads_take_turns_in_a_one_stage_engine(tmp_path: Path, photo: np.ndarray) -> None:
    with Pipeline(rtmo(tmp_path), threads=1) as pipeline:
        run, inside, most = pipeline.predictor.runtime.run, [], []

        def watched(tensor: np.ndarray) -> list[np.ndarray]:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            return run(tensor)

        pipeline.predictor.runtime.run = watched
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: len(pipeline(photo)), range(8)))
    assert found == [1] * 8
    assert most == [1] * 8


def test_rtmos_mmdeploy_folder(tmp_path: Path) -> None:
    from rtmpose_sdk.runtimes import TensorSpec

    transforms = [
        {"type": "BottomupResize", "input_size": [640, 640], "pad_val": [114, 114, 114]},
        {"type": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1], "to_rgb": False},
    ]
    tasks = [
        {"module": "Transform", "transforms": transforms},
        {"name": "postprocess", "component": "Any", "params": {"score_thr": 0.1, "nms_thr": 0.65}},
    ]
    (tmp_path / "pipeline.json").write_text(json.dumps({"pipeline": {"tasks": tasks}}))
    deploy = {"task": "PoseDetector", "models": [{"name": "rtmo", "net": "end2end.onnx"}]}
    (tmp_path / "deploy.json").write_text(json.dumps(deploy))
    outputs = (
        TensorSpec("dets", "float32", (None, None, 5)),
        TensorSpec("keypoints", "float32", (None, None, 17, 3)),
    )
    made = sdk_card(tmp_path, outputs)
    assert (made.decoder, made.input_size, made.keypoint_set) == ("rtmo", (640, 640), "coco17")
    assert (made.color_order, made.nms_iou_threshold, made.pad_value) == ("bgr", 0.65, 114)


def test_the_third_axis(tmp_path: Path, photo: np.ndarray) -> None:
    """RTMW3D: 288x384, 576 bins of depth; the middle is the root, either end z_range away."""
    outputs = simcc(133, (288, 384))
    z = np.zeros((1, 133, 576), np.float32)
    z[0, 0, 288] = z[0, 1, 0] = z[0, 2, 432] = 1
    outputs["simcc_z"] = z
    path = bare(
        tmp_path,
        # Names of other exporters: told by their order and sizes.
        tiny_network(dict(zip(("output", "1554", "1556"), outputs.values(), strict=True)), (288, 384)),
        card(task="pose", input_size=(288, 384), decoder="simcc3d", keypoint_set="coco_wholebody133"),
    )
    with Predictor(path, threads=1) as predictor:
        result = predictor(photo, np.array([[0, 0, 512, 512], [9, 9, 99, 199]], np.float32))
    assert result.depths.shape == (2, 133)
    np.testing.assert_allclose(result.depths[0, :3], [0, -2.1744869, 2.1744869 / 2], atol=1e-5)
    assert result[0].depths.shape == (1, 133)
    assert result.to_dict()["persons"][0]["keypoints"]["right_eye"]["z"] == pytest.approx(1.0872, abs=1e-3)


def test_a_card_that_contradicts_its_file_says_both(tmp_path: Path) -> None:
    network = tiny_network(simcc(26, (192, 256)), (192, 256))
    good = card(task="pose", input_size=(192, 256), decoder="simcc", keypoint_set="halpe26")
    for change, message in (
        ({"keypoint_set": "coco17"}, r"gives 26 keypoints.*its card says coco17, which has 17"),
        (
            {"simcc_split_ratio": 3.0},
            r"simcc_x has 384 bins, but its card says 192 px with 3 bins per px.*576",
        ),
        (
            {"input_size": (288, 384)},
            r"takes input: float32 \(1,3,256,192\), but its card says float32 \(N,3,384,288\)",
        ),
        (
            {"decoder": "heatmap"},
            r"gives \['simcc_x', 'simcc_y'\].*'heatmap' reads heatmaps of 4 dimensions",
        ),
    ):
        import dataclasses

        path = bare(tmp_path, network, dataclasses.replace(good, **change))
        with pytest.raises(CardError, match=message):
            Predictor(path)


def test_a_card_for_a_bare_network(tmp_path: Path, photo: np.ndarray) -> None:
    path = bare(tmp_path, tiny_network(simcc(26, (192, 256)), (192, 256)))
    asked = card_new(path, "--task", "pose")
    assert asked.returncode == 1
    assert "--color (rgb|bgr), --normalize (imagenet|none|unit|half)" in asked.stderr
    assert "--keypoints" not in asked.stderr  # 26: only one set has so many
    done = card_new(path, "--color", "rgb", "--normalize", "imagenet")
    assert done.returncode == 0, done.stderr
    with Predictor(path, threads=1) as predictor:
        assert (predictor.card.keypoint_set, predictor.card.simcc_split_ratio) == ("halpe26", 2.0)
        assert predictor.card.mean == (123.675, 116.28, 103.53)
        assert len(predictor(photo, [[0, 0, 99, 99]])) == 1
    assert "is there already; --force" in card_new(path, "--color", "rgb").stderr
    wrong = card_new(path, "--force", "--task", "detect", "--color", "rgb", "--normalize", "none")
    assert "--task detect, but its outputs" in wrong.stderr
    other = card_new(path, "--force", "--size", "128x128")
    assert "takes 192x256 px, but (128, 128) was given" in other.stderr
    seventeen = card_new(path, "--force", "--keypoints", "coco17", "--color", "rgb", "--normalize", "none")
    assert "gives 26 keypoints" in seventeen.stderr


def test_a_card_for_a_network_of_ones_own_keypoints(tmp_path: Path) -> None:
    path = bare(tmp_path, tiny_network(simcc(3, (64, 96), (20, 30)), (64, 96)))
    (tmp_path / "tri.json").write_text('{"keypoints": ["top", "left_foot", "right_foot"]}')
    done = card_new(
        path,
        "--keypoints",
        tmp_path / "tri.json",
        "--color",
        "bgr",
        "--mean",
        "0,0,0",
        "--std",
        "255,255,255",
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "tri.json").unlink()  # the card holds the set
    with Predictor(path, threads=1) as predictor:
        assert predictor.keypoint_set.flip_indices == (0, 2, 1)
        assert predictor.card.std == (255.0, 255.0, 255.0)


def test_a_real_heatmap_network_gets_a_card_and_hints(
    shared: Path, tmp_path: Path, photo: np.ndarray
) -> None:
    """PP-TinyPose, RGB with ImageNet's levels: other answers are noticed on a picture."""
    pytest.importorskip("openvino")
    for suffix in ("xml", "bin"):
        shutil.copy(
            shared / "weights" / "tinypose" / "256_192" / f"model.{suffix}", tmp_path / f"m.{suffix}"
        )
    told = card_new(
        tmp_path / "m.xml", "--keypoints", "coco17", "--color", "bgr", "--normalize", "none", "--no-udp"
    )
    assert told.returncode == 0, told.stderr
    assert "--normalize imagenet it would be" in told.stderr
    right = card_new(
        *(tmp_path / "m.xml", "--keypoints", "coco17", "--color", "rgb", "--normalize", "imagenet"),
        *("--no-udp", "--force"),
    )
    assert "would be" not in right.stderr
    result = Pipeline(tmp_path / "m.xml", None, threads=1)(photo, "full")
    nose = result.keypoints[0, result.keypoint_set.names.index("nose")]
    np.testing.assert_allclose(nose, [222, 112], atol=20)


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """Body 17: a person whose left arm is stretched out to the right of the picture."""
    outputs = simcc(17, (192, 256), (200, 200))
    places = {
        "left_elbow": (240, 200),
        "left_wrist": (280, 200),
        "right_elbow": (10, 10),
        "nose": (200, 100),
    }
    places |= {"left_eye": (210, 90), "right_eye": (190, 90)}
    from rtmpose_sdk import get_keypoint_set

    for name, (x, y) in places.items():
        k = get_keypoint_set("coco17").names.index(name)
        outputs["simcc_x"][0, k] = outputs["simcc_y"][0, k] = 0
        outputs["simcc_x"][0, k, x] = outputs["simcc_y"][0, k, y] = 2
    folder = tmp_path / "person"
    folder.mkdir()
    made = card(task="pose", input_size=(192, 256), decoder="simcc", keypoint_set="coco17")
    return bare(folder, tiny_network(outputs, (192, 256)), made)


def test_person_then_hands(person: Path, tmp_path: Path, photo: np.ndarray) -> None:
    folder = tmp_path / "hand"
    folder.mkdir()
    made = card(task="pose", input_size=(256, 256), decoder="simcc", keypoint_set="hand21")
    hands = bare(folder, tiny_network(simcc(21, (256, 256), (256, 256)), (256, 256)), made)
    predictor = Predictor(hands, threads=1)
    box = np.array([[100, 100, 292, 356]], np.float32)
    with Cascade(
        Pipeline(person, None, threads=1), {"left_hand": predictor, "right_hand": predictor}
    ) as cascade:
        found = cascade(photo, box)
        nobody = cascade(photo, np.empty((0, 4)))
    names = found.persons.keypoint_set.names
    elbow, wrist = (found.persons.keypoints[0, names.index(f"left_{n}")] for n in ("elbow", "wrist"))
    hand = found.parts["left_hand"]
    centre = (hand.boxes[0, :2] + hand.boxes[0, 2:]) / 2
    np.testing.assert_allclose(centre, wrist + 0.37 * (wrist - elbow), atol=0.5)
    np.testing.assert_allclose(hand.keypoints[0, 0], centre, atol=0.5)  # the peak is in the middle
    assert found.owners["left_hand"].tolist() == [0]
    assert len(nobody.parts["left_hand"]) == len(nobody.persons) == 0
    with pytest.raises(InputError, match="cannot be put into coco17"):
        found.merged()


def test_parts_of_a_whole_body_are_looked_at_again(photo: np.ndarray) -> None:
    from rtmpose_sdk import PoseResult, get_keypoint_set
    from rtmpose_sdk.cascade import CascadeResult

    whole, hand = get_keypoint_set("coco_wholebody133"), get_keypoint_set("hand21")
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(100, 400, (2, 133, 2)).astype(np.float32)
    confidences = np.full((2, 133), 0.5, np.float32)
    confidences[1, 91:112] = 0.1  # nobody knows where this hand is
    boxes = np.tile(np.array([0, 0, 512, 512], np.float32), (2, 1))
    persons = PoseResult(boxes, boxes[:, 0] + 1, keypoints, confidences, confidences, whole, (512, 512))
    found = part_boxes(persons, "left_hand")
    assert 0 in found.owners
    x1, y1, x2, y2 = found.boxes[0]
    points = keypoints[0, 91:112]
    assert ((points >= [x1, y1]) & (points <= [x2, y2])).all()
    better = PoseResult(
        boxes[:1],
        boxes[:1, 0] + 1,
        np.full((1, 21, 2), 7, np.float32),
        *(np.full((1, 21), 0.9, np.float32),) * 2,
        hand,
        (512, 512),
    )
    merged = CascadeResult(persons, {"left_hand": better}, {"left_hand": np.array([1])}).merged()
    np.testing.assert_array_equal(merged.keypoints[1, 91:112], 7)
    np.testing.assert_array_equal(merged.keypoints[0], keypoints[0])
    with pytest.raises(InputError, match="hand21 does not tell where a face is"):
        part_boxes(better, "face")


def test_a_part_without_a_predictor_is_named() -> None:
    with Pipeline(threads=1) as pipeline:
        for parts in ({"face": "rtmpose-m"}, {"nose": pipeline.predictor}):
            with pytest.raises(InputError, match="expected a Predictor for each of left_hand"):
                Cascade(pipeline, parts)
