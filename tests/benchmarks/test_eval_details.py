"""`rtmpose eval` beside AP: known truths, real pictures, files broken in real ways."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from rtmpose_sdk import Pipeline
from rtmpose_sdk.artifacts import artifact_card, card_beside
from rtmpose_sdk.benchmarks.accuracy import evaluate_pipeline
from rtmpose_sdk.benchmarks.coco_score import FIGURES
from rtmpose_sdk.benchmarks.matched import match
from rtmpose_sdk.benchmarks.metrics.calibration import calibrate
from rtmpose_sdk.benchmarks.metrics.per_keypoint import keypoint_errors
from rtmpose_sdk.benchmarks.report_html import ap_of
from rtmpose_sdk.benchmarks.subset import present, single_person
from rtmpose_sdk.benchmarks.tune import Truth
from rtmpose_sdk.card import CARD_VERSION
from rtmpose_sdk.cli import evaluate
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.zoo import find_model

SET = get_keypoint_set("coco17")


def _person(shift: float) -> np.ndarray:
    return np.stack([np.arange(17) * 10.0 + shift, np.arange(17) * 5.0], axis=1).astype(np.float32)


def _label(points: np.ndarray) -> dict:
    flat = np.concatenate([points, np.full((17, 1), 2)], axis=1)
    flat[16, 2] = 0  # one that is not labelled
    points = flat.reshape(-1).tolist()
    return {"keypoints": points, "num_keypoints": 16, "bbox": [0, 0, 100, 100], "area": 10_000}


def _result(*people: np.ndarray) -> PoseResult:
    n = len(people)
    return PoseResult(
        np.tile(np.array([[0, 0, 100, 100]], np.float32), (n, 1)),
        np.ones(n, np.float32),
        np.stack(people),
        np.ones((n, 17), np.float32),
        np.full((n, 17), 0.9, np.float32),
        SET,
        (600, 600),
    )


def test_persons_are_matched_by_likeness_or_in_order() -> None:
    a, b = _person(0), _person(300)
    crowd = {**_label(a), "iscrowd": 1}
    labels = [_label(a), crowd, _label(b)]
    first, second = match({}, labels, _result(b, a))
    assert first.oks == second.oks == 1
    swapped = match({}, labels, _result(b, a), in_order=True)
    assert max(p.oks for p in swapped) < 1e-6
    lonely = match({}, labels, _result(b))
    assert np.isnan(lonely[0].found).all()
    assert (lonely[0].oks, lonely[1].oks) == (0, 1)


def test_errors_by_keypoint_of_a_known_shift() -> None:
    people = _person(0), _person(300)
    found = [p.copy() for p in people]
    found[0][0] += [0, 5]  # nose: 5 px of 100
    found[1][0] += [0, 30]  # nose: 30 px
    rows = keypoint_errors(match({}, [_label(p) for p in people], _result(*found)), SET.names)
    assert (rows[0].labelled, rows[0].pck, rows[0].median_px) == (2, 0.5, 17.5)
    assert rows[0].median_percent == pytest.approx(17.5)
    k = 0.026 * 2
    terms = [np.exp(-(d**2) / (2 * 100**2 * k**2)) for d in (5, 30)]
    assert rows[0].oks == pytest.approx(np.mean(terms), rel=1e-4)
    assert (rows[1].pck, rows[1].median_px, rows[1].oks) == (1, 0, 1)
    assert rows[16].labelled == 0
    assert np.isnan(rows[16].pck)


def test_calibration_error_of_a_known_case() -> None:
    confidences = np.array([0.95] * 10 + [0.25] * 30 + [1.0], np.float32)
    right = np.array([True] * 5 + [False] * 5 + [True] * 15 + [False] * 15 + [True])
    found = calibrate(confidences, right)
    assert [b.keypoints for b in found.bins] == [30, 11]
    high = abs((9.5 + 1) / 11 - 6 / 11)
    assert found.ece == pytest.approx((30 * 0.25 + 11 * high) / 41, abs=1e-6)
    assert calibrate(np.array([1.0, 1.0], np.float32), np.array([True, True])).ece == 0


def test_pictures_with_exactly_one_person() -> None:
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)],
        "annotations": [
            {"image_id": 0, "num_keypoints": 3},
            {"image_id": 1, "num_keypoints": 3},
            {"image_id": 1, "num_keypoints": 0},  # two persons, one of them not posed
            {"image_id": 2, "num_keypoints": 0},
        ],
    }
    alone = single_person(truth)
    assert [row["id"] for row in alone["images"]] == [0]
    assert [row["image_id"] for row in alone["annotations"]] == [0]
    with pytest.raises(InputError, match="exactly one person"):
        single_person({**truth, "annotations": []})


def test_missing_pictures_are_listed(tmp_path: Path) -> None:
    truth = {"images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(14)], "annotations": []}
    (tmp_path / "3.jpg").touch()
    with pytest.raises(InputError, match=r"13 of 14 .*0\.jpg.* and 3 more.*--allow-missing"):
        present(truth, tmp_path, False)
    there, missing = present(truth, tmp_path, True)
    assert [row["id"] for row in there["images"]] == [3]
    assert len(missing) == 13
    (tmp_path / "3.jpg").unlink()
    for allowed in (False, True):
        with pytest.raises(
            InputError, match=r"14 of 14 .* Expected the folder that these names start from$"
        ):
            present(truth, tmp_path, allowed)
    with pytest.raises(InputError, match="none: not a folder; expected the one with the annotated pict"):
        present(truth, tmp_path / "none", False)


def test_the_command_on_real_pictures(coco: dict, tmp_path: Path) -> None:
    rows = coco["images"][:16]
    ids = {row["id"] for row in rows}
    labels = [row for row in coco["annotations"] if row["image_id"] in ids]
    file = tmp_path / "some.json"
    file.write_text(json.dumps({"images": rows, "annotations": labels, "categories": coco["categories"]}))
    pictures = tmp_path / "images"
    pictures.mkdir()
    for row in rows[1:]:
        shutil.copy(coco["folder"] / row["file_name"], pictures)
    command = ["eval", "--annotations", str(file), "--images", str(pictures), "--threads", "1"]
    refused = CliRunner().invoke(app, command)
    assert rows[0]["file_name"] in str(refused.exception)
    wrong = CliRunner().invoke(app, [*command, "--normalize-by", "nose", "tail"])
    assert "--normalize-by tail: no such keypoint" in str(wrong.exception)
    sheet, results = tmp_path / "sheet.png", tmp_path / "results.json"
    more = ["--allow-missing", "--per-keypoint", "--calibration", "--worst", "3", str(sheet)]
    done = CliRunner().invoke(app, [*command, *more, "--results", str(results)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "1 pictures are missing" in done.output
    assert "left_ankle" in done.output
    assert "expected calibration error" in done.output
    drawn = cv2.imread(str(sheet))
    red = (drawn[..., 2] > 200) & (drawn[..., 1] < 90) & (drawn[..., 0] < 90)
    assert red.sum() > 50  # what was found is drawn even where it is wrong
    found = json.loads(results.read_text())
    assert {len(row["keypoints"]) for row in found} == {51}
    assert rows[0]["id"] not in {row["image_id"] for row in found}


@pytest.fixture(scope="module")
def some(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Five pictures of one person, as the model itself poses it, and a folder with four of them."""
    folder = tmp_path_factory.mktemp("some")
    (folder / "images").mkdir()
    images, labels = [], []
    with Pipeline(detector=None, threads=1) as pipeline:
        for i in range(5):
            picture = photo[:, 8 * i :]
            height, width = picture.shape[:2]
            x, y, w, h = (5 - min(8 * i, 5), 11, 361, 500)
            [points] = pipeline(picture, [[x, y, x + w, y + h]]).keypoints + np.float32([i, 0])
            flat = np.concatenate([points, np.full((17, 1), 2)], axis=1).round(1).reshape(-1).tolist()
            images.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
            label = {"id": i + 1, "image_id": i, "category_id": 1, "iscrowd": 0, "keypoints": flat}
            labels.append({**label, "num_keypoints": 17, "bbox": [x, y, w, h], "area": w * h / 2})
            if i:
                cv2.imwrite(str(folder / "images" / f"{i}.png"), picture)
    kinds = [{"id": 1, "name": "person", "keypoints": list(SET.names)}]
    file = folder / "some.json"
    file.write_text(json.dumps({"images": images, "annotations": labels, "categories": kinds}))
    return file, folder / "images"


def _eval(some: tuple[Path, Path], *more: object) -> Any:
    words = ["eval", "--annotations", some[0], "--images", some[1], "--threads", "1", *more]
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})


def test_the_json_holds_all_and_comes_before_plots(
    some: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("rtmpose_sdk.benchmarks.worst.worst_sheet", full)
    details = ["--per-keypoint", "--normalize-by", "left_eye", "right_eye", "--calibration"]
    sheet = tmp_path / "sheet.png"
    done = _eval(some, "--allow-missing", *details, "--worst", 2, sheet, "--json", tmp_path / "e.json")
    assert str(done.exception) == "the disk is full"
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["AP"] > 0.8
    assert len(found["missing"]) == 1
    assert found["settings"]["pose"] == "rtmpose-t-own"
    assert found["settings"]["engine"].startswith("onnxruntime")
    assert found["settings"]["flip test"] is False
    assert [row["name"] for row in found["keypoints"]] == list(SET.names)
    assert set(found["distances"]) == {"PCK@0.2", "AUC to 30 px", "NME by left_eye to right_eye"}
    assert sum(b["keypoints"] for b in found["calibration"]["bins"]) > 50


def test_brackets_in_names_are_no_markup(some: tuple[Path, Path], tmp_path: Path) -> None:
    content = json.loads(some[0].read_text())
    content["images"][0]["file_name"] = "[/red].png"
    (tmp_path / "some.json").write_text(json.dumps(content))
    detector = tmp_path / "[red]" / "detector.onnx"
    detector.parent.mkdir()
    shutil.copy(find_model("rtmdet-nano-own"), detector)
    done = _eval((tmp_path / "some.json", some[1]), "--allow-missing", "--detector", detector)
    assert done.exit_code == 0, done.exception
    assert f"persons, boxes of {detector}, flip" in done.output
    assert done.stderr == ""  # no terminal, no bar
    assert "1 pictures are missing: [/red].png" in done.output


@pytest.mark.parametrize("name", ["plot.png", "plot.SVG"])
def test_the_plot_may_go_to_a_new_folder(some: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    file = tmp_path / "new" / "folder" / name
    done = _eval(some, "--allow-missing", "--reliability", file)
    assert done.exit_code == 0, done.exception
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    assert [path.name for path in file.parent.iterdir()] == [name]


@pytest.mark.parametrize("option", ["--json", "--results", "--resume"])
def test_the_annotations_are_kept(some: tuple[Path, Path], tmp_path: Path, option: str) -> None:
    file = Path(shutil.copy(some[0], tmp_path))
    done = _eval((file, some[1]), "--allow-missing", option, tmp_path / "x" / ".." / file.name)
    assert "holds the annotations" in str(done.exception)
    assert file.read_bytes() == some[0].read_bytes()


def test_a_folder_is_no_file_to_resume_from(some: tuple[Path, Path], tmp_path: Path) -> None:
    done = _eval(some, "--pose", "no such model", "--resume", tmp_path)
    assert f"{tmp_path}: is a folder" in str(done.exception)


def test_ctrl_c_says_where_it_goes_on(
    some: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "measure", stopped)
    file = tmp_path / "kept.jsonl"
    assert _eval(some, "--resume", file).stderr.strip() in ("", "Aborted!", "Aborted.")
    file.touch()
    said = f"stopped: what was found is in {file}, the same command goes on from it"
    done = _eval(some, "--resume", file)
    assert done.exit_code != 0
    assert said in done.stderr


def test_boxes_only_counts_missing_pictures(some: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--boxes-only", "--detector", "rtmdet-nano-own"]
    refused = _eval(some, *words)
    assert isinstance(refused.exception, InputError)
    assert "1 of 5 annotated pictures are missing" in str(refused.exception)
    done = _eval(some, *words, "--allow-missing", "--json", tmp_path / "b.json")
    assert done.exit_code == 0, done.exception
    assert "1 pictures are missing" in done.output
    assert json.loads((tmp_path / "b.json").read_text())["pictures"] == 4
    refused = _eval(some, *words, "--allow-missing", "--flip-test")
    assert "--boxes-only goes without" in str(refused.exception)
    refused = _eval(some, *words, "--allow-missing", "--detection-threshold", "0.9")
    assert "--detection-threshold is of boxes that persons are posed in" in str(refused.exception)
    refused = _eval(some, "--detection-threshold", "0.9")  # of nobody's, where boxes are given
    assert "--detection-threshold is of boxes" in str(refused.exception)


def test_boxes_without_areas_have_a_share_of_the_box(some: tuple[Path, Path], tmp_path: Path) -> None:
    """Not 0 px², which would make every person small."""
    content = json.loads(some[0].read_text())
    for row in content["annotations"]:
        del row["area"]
    (tmp_path / "bare.json").write_text(json.dumps(content))
    words = ["--boxes-only", "--detector", "rtmdet-nano-own", "--allow-missing"]
    done = _eval((tmp_path / "bare.json", some[1]), *words, "--json", tmp_path / "b.json")
    assert done.exit_code == 0, done.exception
    figures = json.loads((tmp_path / "b.json").read_text())
    assert figures["AP large"] > 0


def test_tune_counts_missing_pictures(some: tuple[Path, Path]) -> None:
    words = ["tune", "--annotations", str(some[0]), "--images", str(some[1])]
    refused = CliRunner().invoke(app, words)
    assert "1 of 5 annotated pictures are missing" in str(refused.exception)
    truth = Truth(*some, allow_missing=True)
    assert len(truth.select(json.loads(some[0].read_text()))["images"]) == 4


def test_annotations_without_counts_score_the_same(some: tuple[Path, Path], tmp_path: Path) -> None:
    content = json.loads(some[0].read_text())
    for row in content["annotations"]:
        row.pop("num_keypoints")
    bare = tmp_path / "some.json"
    bare.write_text(json.dumps(content))
    figures = []
    for file in (some[0], bare):
        done = _eval((file, some[1]), "--allow-missing", "--json", tmp_path / "e.json")
        assert done.exit_code == 0, done.exception
        figures.append(
            {k: v for k, v in json.loads((tmp_path / "e.json").read_text()).items() if k != "settings"}
        )
    assert figures[0] == figures[1]


@pytest.mark.parametrize("beside", [False, True])
def test_the_measured_ap_goes_into_the_card(some: tuple[Path, Path], tmp_path: Path, beside: bool) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(find_model("rtmpose-t-own"), model)
    before = artifact_card(model)
    if beside:
        network = onnx.load(model)
        del network.metadata_props[:]
        onnx.save(network, model)
        card_beside(model).write_text(dataclasses.replace(before, accuracy={}).to_json())
    done = _eval(some, "--allow-missing", "--pose", model, "--write-card", "--json", tmp_path / "e.json")
    assert done.exit_code == 0, done.exception
    ap = json.loads((tmp_path / "e.json").read_text())["AP"]
    after = artifact_card(model)
    name = "some AP (ground-truth boxes, 4 pictures)"
    assert after.accuracy[name] == pytest.approx(ap, abs=1e-4)
    assert after.version == CARD_VERSION
    aside = {"accuracy": {}, "version": CARD_VERSION}
    assert dataclasses.replace(after, **aside) == dataclasses.replace(before, **aside)
    assert card_beside(model).is_file() == beside
    if beside:
        assert ap_of({"accuracy": after.accuracy}) == pytest.approx(ap, abs=1e-4)


def test_a_card_that_is_nobodys_file_is_not_written(
    some: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path))
    cached = shutil.copy(find_model("rtmpose-t-own"), tmp_path / "files" / "m.onnx")
    for file in (cached, find_model("rtmpose-t-own")):
        refused = _eval(some, "--allow-missing", "--write-card", "--pose", file)
        assert "is of the cache or the package" in str(refused.exception)
    refused = _eval(some, "--allow-missing", "--write-card")
    assert isinstance(refused.exception, InputError)
    assert "rtmpose-t-own is not an artifact itself" in str(refused.exception)


def _of_its_runs(pipeline: Pipeline, runs: list[tuple[np.ndarray, ...]]) -> None:
    """Keep what the network gives, or, where that is known, give it again."""
    runtime = pipeline.predictor.runtime
    run, known = runtime._infer, iter(list(runs))

    def kept(array: np.ndarray) -> tuple[np.ndarray, ...]:
        runs.append(run(array))
        return runs[-1]

    def known_before(array: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = next(known)
        assert len(outputs[0]) == len(array)
        return outputs

    runtime._infer = known_before if runs else kept  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("size", "least", "aps"),
    [("256_192", 0.65, {"dark": 0.662, "quarter": 0.655}), ("128_96", 0.52, {})],
)
def test_tinypose_scores_what_it_should(
    shared: Path, coco: dict, tmp_path: Path, size: str, least: float, aps: dict[str, float]
) -> None:
    """256x192: 0.654 with a quarter of a cell by other code; a wrong colour order or shift would cost far
    more. The network runs once for both ways of finding a peak.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    for name in ("model.xml", "model.bin"):
        shutil.copyfile(shared / "weights" / "tinypose" / size / name, tmp_path / name)
    model = tmp_path / "model.xml"
    card = ["card", "new", str(model), "--keypoints", "coco17", "--color", "rgb"]
    made = CliRunner().invoke(app, [*card, "--normalize", "imagenet", "--no-udp"], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    runs: list[tuple[np.ndarray, ...]] = []
    with Pipeline(model, detector=None, threads=1) as pipeline:
        assert pipeline.predictor.runtime.engine.startswith("openvino")
        assert pipeline.predictor.card.heatmap_peak == "dark"
        _of_its_runs(pipeline, runs)
        report = evaluate_pipeline(pipeline, coco["file"], coco["folder"])
    assert report.figures["AP"] >= least
    assert sum(len(outputs[0]) for outputs in runs) == report.persons == 594
    for peak, ap in aps.items():
        figures = report.figures
        if peak != "dark":
            card = dataclasses.replace(artifact_card(model), heatmap_peak=peak)
            card_beside(model).write_text(card.to_json())
            with Pipeline(model, detector=None, threads=1) as pipeline:
                _of_its_runs(pipeline, runs)
                figures = evaluate_pipeline(pipeline, coco["file"], coco["folder"]).figures
        assert figures["AP"] == pytest.approx(ap, abs=0.004)
    truth = COCO(str(coco["file"]))
    scoring = COCOeval(truth, truth.loadRes(report.results), "keypoints")
    scoring.evaluate()
    scoring.accumulate()
    scoring.summarize()
    np.testing.assert_allclose([report.figures[n] for n in FIGURES], scoring.stats, atol=1e-4)
