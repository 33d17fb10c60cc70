"""AP of the shipped model, and agreement with pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import Detector, Pipeline
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks.accuracy import (
    check_measurable,
    evaluate_detector,
    evaluate_pipeline,
    model_accuracy,
)
from rtmpose_sdk.benchmarks.coco_score import FIGURES
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.keypoint_sets import get_keypoint_set
from rtmpose_sdk.zoo import find_model


def test_ap_of_the_shipped_model_is_the_stated_one(coco: dict, tmp_path: Path) -> None:
    """As `rtmpose eval` measures it, in a process of its own."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    places = ["--annotations", coco["file"], "--images", coco["folder"], "--threads", 1]
    files = ["--json", tmp_path / "figures.json", "--results", tmp_path / "results.json"]
    done = subprocess.run(
        [Path(sys.executable).parent / "rtmpose", "eval", *map(str, [*places, *files])],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "212 pictures, 594 persons, ground-truth boxes, flip test off" in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["AP"] == pytest.approx(0.454, abs=0.003)
    assert figures["AR"] == pytest.approx(0.492, abs=0.003)
    accuracy = artifact_card(find_model("rtmpose-t-own")).accuracy
    assert accuracy["coco_val_dev AP, ground-truth boxes"] == pytest.approx(figures["AP"], abs=0.003)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(coco["file"]))
        scoring = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "keypoints")
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    ours = [figures[name] for name in FIGURES]
    np.testing.assert_allclose(ours, scoring.stats, atol=1e-4)


def test_through_a_detector(coco: dict, detector_folder: Path) -> None:
    with Pipeline(detector=detector_folder, threads=1) as pipeline:
        report = evaluate_pipeline(pipeline, coco["file"], coco["folder"])
    assert report.pictures == 240
    assert report.figures["AP"] == pytest.approx(0.381, abs=0.01)


def test_annotations_of_another_kind(tmp_path: Path) -> None:
    pipeline = Pipeline(detector=None)
    empty = {"images": [], "annotations": [], "categories": []}
    halpe = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [0] * 78}
    picture, person = {"id": 1, "file_name": "a.jpg"}, {"id": 1, "name": "person"}
    for name, content, message in (
        ("text.json", "{", "not JSON"),
        ("list.json", "[]", "not COCO annotations"),
        ("nobody.json", json.dumps(empty), "no annotation in its 0 pictures"),
        (
            "other.json",
            json.dumps({"images": [picture], "annotations": [halpe], "categories": [person]}),
            r"\[26\] keypoints, the model 17",
        ),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=message):
            evaluate_pipeline(pipeline, tmp_path / name, tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        evaluate_pipeline(pipeline, tmp_path / "none.json", tmp_path)


def test_box_accuracy_of_the_bundled_detector(coco: dict) -> None:
    detector = Detector("rtmdet-nano-own", threads=1, score_threshold=0.9)
    report = evaluate_detector(detector, coco["file"], coco["folder"])
    detector.close()
    assert report.figures["AP50"] == pytest.approx(0.490, abs=0.005)
    assert report.figures["AR100"] > report.figures["AP"]
    assert report.pictures == 240


def test_a_detectors_own_threshold_is_left_as_it_is(photo_path: Path, tmp_path: Path) -> None:
    """Also while it is measured: another thread may ask it for the persons of a camera."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 370, 500], "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": photo_path.name}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    seen = []
    with Detector("rtmdet-nano-own", threads=1, score_threshold=1.0) as detector:

        def track(rows):
            for row in rows:
                seen.append(detector.score_threshold)
                yield row

        figures = model_accuracy(detector, tmp_path / "a.json", photo_path.parent, track)
        report = evaluate_detector(detector, tmp_path / "a.json", photo_path.parent)
        with pytest.raises(InputError, match="no box in 1 pictures"):
            evaluate_detector(detector, tmp_path / "a.json", photo_path.parent, score_threshold=1.0)
    assert seen == [1.0]
    assert figures == report.figures
    assert figures["AP50"] == 1.0


def test_what_cannot_be_measured_is_said_before_the_work(tmp_path: Path) -> None:
    keypoints = [5, 5, 2] * 17
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{**row, "keypoints": keypoints, "num_keypoints": 17}],
        "categories": [{"id": 1, "name": "person"}],
    }
    file, coco17 = tmp_path / "a.json", get_keypoint_set("coco17")
    file.write_text(json.dumps(content))
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match=r"1 of 2 annotated pictures are missing: b\.jpg\. Fetch them$"):
        check_measurable(file, tmp_path, coco17)
    with pytest.raises(InputError, match="or measure on the others: --allow-missing"):
        check_measurable(file, tmp_path, coco17, allow_missing=False)
    assert check_measurable(file, tmp_path, coco17, allow_missing=True) == ["b.jpg"]
    with pytest.raises(InputError, match="missing"):
        check_measurable(file, tmp_path, None)
    (tmp_path / "b.jpg").touch()
    assert check_measurable(file, tmp_path, None) == check_measurable(file, tmp_path, coco17) == []
    with pytest.raises(InputError, match=r"\[17\] keypoints, the model 26"):
        check_measurable(file, tmp_path, get_keypoint_set("halpe26"))
    mpii = get_keypoint_set("mpii16")
    content["annotations"] = [{**row, "keypoints": [5, 5, 2] * len(mpii), "bbox_head": [0, 0, 4, 4]}]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is measured by PCKh, not by AP"):
        check_measurable(file, tmp_path, mpii)


_LABEL = {
    "id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0,
    "keypoints": [5, 5, 2] * 17, "num_keypoints": 17,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area": None}, "annotation 1: area is None; expected px², or none at all"),
        ({"bbox": [1, 2, 3]}, r"annotation 1: bbox is \[1, 2, 3\]; expected the four numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "expected the four numbers"),
        ({"keypoints": None}, "no annotation has keypoints"),
        ({"keypoints": 7}, "annotation 1: keypoints are 7; expected the numbers x, y, v of each"),
        ({"keypoints": [5, 5, 2] * 17 + [1]}, "keypoints are a list of 52"),
        ({"num_keypoints": None}, "num_keypoints is None; expected how many of its 17"),
        ({"category_id": 2}, r"category_id that is not in 'categories' \(which has ids 1\)"),
        ({"category_id": [1]}, "category_id that is not in 'categories'"),
        ({"image_id": "1"}, "image_id that is not in 'images'"),
        ({"iscrowd": 1}, "nobody in the 1 pictures that are measured has a labelled keypoint"),
        ({"keypoints": [0] * 51, "num_keypoints": 0}, "nobody in the 1 pictures"),
    ],
)
def test_broken_rows_are_named_before_the_work(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{**_LABEL, **change}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match=rf"a\.json: .*{message}"):
        check_measurable(tmp_path / "a.json", tmp_path, get_keypoint_set("coco17"))


def test_the_row_with_other_keypoints_is_named(tmp_path: Path) -> None:
    file, coco17 = tmp_path / "a.json", get_keypoint_set("coco17")
    rows = [{**_LABEL, "id": 1}, {**_LABEL, "id": 8, "keypoints": [5, 5, 2] * 16, "num_keypoints": 16}]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person"}],
    }
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"\[16, 17\] keypoints, the model 17; annotation 8 has 16$"):
        check_measurable(file, tmp_path, coco17)
    file.write_text(json.dumps([{"joints": [[5, 5]] * n} for n in (16, 15)]))
    with pytest.raises(InputError, match=r"\[15, 16\] keypoints, the model 16; person 1 has 15$"):
        check_measurable(file, tmp_path, get_keypoint_set("mpii16"))


def test_rows_without_boxes_of_persons(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2}],
        "annotations": [{**_LABEL, "category_id": 7}],
        "categories": [{"id": 1, "name": "person"}, {"id": 7, "name": "dog"}],
    }
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="the picture with id 2 has no file_name"):
        check_measurable(file, tmp_path, None)
    del content["images"][1]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no box of a person in the 1 pictures"):
        check_measurable(file, tmp_path, None)
    content["categories"] = [{"id": "1", "name": "person"}]
    content["annotations"] = [{**_LABEL, "category_id": "1"}]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="a category has id '1'; expected whole numbers"):
        check_measurable(file, tmp_path, None)
