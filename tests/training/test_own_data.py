"""Annotations as tools write them and persons keep them: what is said, and what is done all the same."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.train_config import _checkpoint
from rtmpose_sdk.errors import DataError, InputError
from rtmpose_sdk.training.check import check
from rtmpose_sdk.training.missing import Neighbours
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.pictures import read_pictures

Change = Callable[[dict[str, Any]], object]


def _changed(kites: Path, folder: Path, change: Change) -> Source:
    content = json.loads(kites.read_text())
    change(content)
    file = folder / "changed.json"
    file.write_text(json.dumps(content))
    return Source(file, kites.parent / "images")


def _look(source: Source, *arguments: object) -> Any:
    given = ["data", "check", source.annotations, "--images", source.images, *arguments]
    return CliRunner().invoke(app, list(map(str, given)), env={"COLUMNS": "200"})


def _roboflow(content: dict[str, Any]) -> None:
    """A parent that no annotation has, and boxes alone."""
    content["categories"] = [
        {"id": 0, "name": "kites", "supercategory": "none"},
        {"id": 1, "name": "kite", "supercategory": "kites"},
    ]
    for row in content["annotations"]:
        row["category_id"] = 1
        for name in ("keypoints", "num_keypoints", "iscrowd", "area"):
            del row[name]


def test_a_parent_category_that_nothing_has_is_no_choice(kites: Path, tmp_path: Path) -> None:
    pictures = read_pictures([_changed(kites, tmp_path, _roboflow)])
    assert sum(map(len, pictures.boxes)) == 24


def test_a_mark_of_the_order_of_bytes_is_read_over(kites: Path, tmp_path: Path) -> None:
    source = _changed(kites, tmp_path, lambda content: None)
    source.annotations.write_text(source.annotations.read_text(), "utf-8-sig")
    assert check(source).persons == 24


def test_boxes_alone_have_a_contact_sheet(kites: Path, tmp_path: Path) -> None:
    done = _look(_changed(kites, tmp_path, _roboflow), "--sheet", tmp_path / "sheet.png")
    assert done.exit_code == 0, done.output
    assert "data for a detector" in done.output
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert (sheet == (60, 220, 60)).all(axis=2).sum() > 24 * 100


def _all_missing(content: dict[str, Any]) -> None:
    for row in content["images"]:
        row["file_name"] = f"gone/{row['id']}.jpg.txt"


def _never_visible(content: dict[str, Any]) -> None:
    for row in content["annotations"]:
        row["keypoints"][2::3] = [0] * 5


@pytest.mark.parametrize(
    ("change", "finding"), [(_all_missing, "missing picture"), (_never_visible, "no keypoints")]
)
def test_findings_are_listed_where_no_sheet_can_be_drawn(
    change: Change, finding: str, kites: Path, tmp_path: Path
) -> None:
    done = _look(_changed(kites, tmp_path, change), "--sheet", tmp_path / "sheet.png")
    assert done.exit_code == 1
    assert finding in done.output
    assert "no contact sheet" in done.output


def test_a_sheet_leaves_out_a_broken_picture(kites: Path, tmp_path: Path) -> None:
    deep = np.full((110, 120), 40_000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)

    def change(content: dict[str, Any]) -> None:
        content["images"][3]["file_name"] = str(tmp_path / "deep.png")

    done = _look(_changed(kites, tmp_path, change), "--sheet", tmp_path / "sheet.png")
    assert "broken picture" in done.output
    assert (tmp_path / "sheet.png").is_file()


def test_brackets_in_a_finding_are_printed(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"] = ["1", "2", "30", "40"]

    assert "expected [x, y, width, height]" in _look(_changed(kites, tmp_path, change)).output


def test_keypoints_without_names_are_said(kites: Path, tmp_path: Path) -> None:
    source = _changed(kites, tmp_path, lambda content: content["categories"][0].update(keypoints=[]))
    (finding,) = check(source).findings
    assert finding.kind == "no keypoint names"
    assert "24 persons" in finding.what


@pytest.mark.parametrize("values", [None, []])
def test_keypoints_that_are_none_are_said(values: object, kites: Path, tmp_path: Path) -> None:
    source = _changed(kites, tmp_path, lambda content: content["annotations"][2].update(keypoints=values))
    found = [
        (finding.where, finding.kind) for finding in check(source).findings if "0 numbers" in finding.what
    ]
    assert found == [("annotation 3", "keypoint count")]


def test_ids_of_two_kinds_are_shown(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for row in content["images"]:
            row["id"] = str(row["id"])

    with pytest.raises(DataError, match=r"image_id 0\); pictures have ids such as '0'"):
        check(_changed(kites, tmp_path, change))


def _string_categories(content: dict[str, Any]) -> None:
    content["categories"][0]["id"] = "7"
    for row in content["annotations"]:
        row["category_id"] = "7"


def _no_category(content: dict[str, Any]) -> None:
    for row in content["annotations"]:
        del row["category_id"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_string_categories, "a category has id '7'; expected whole numbers"),
        (_no_category, "24 of 24 annotations"),
        (lambda content: content["annotations"][3].update(num_keypoints=5.0), "num_keypoints is 5.0"),
    ],
)
def test_what_an_evaluation_refuses_is_found(
    change: Change, what: str, kites: Path, tmp_path: Path
) -> None:
    (finding,) = check(_changed(kites, tmp_path, change)).findings
    assert finding.kind == "refused as --val-data"
    assert what in finding.what


@pytest.mark.parametrize(
    ("values", "kind", "what"),
    [
        ({"area": 0}, "", ""),
        ({"area": None}, "", ""),
        ({"iscrowd": "0"}, "iscrowd", "'0' is taken for 1"),
        ({"iscrowd": False}, "", ""),
        ({"bbox": [0.1, 0.1, 0.5, 0.6]}, "tiny box", "parts of the picture? expected px"),
    ],
)
def test_values_that_mean_something_else_are_found(
    values: dict[str, Any], kind: str, what: str, kites: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][3].update(values)
        if values.get("area", 0) is None:
            del content["annotations"][3]["area"]

    found = {f.kind: f.what for f in check(_changed(kites, tmp_path, change)).findings}
    assert what in found.get(kind, "")
    assert bool(kind) is bool(found)


def test_other_categories_are_counted(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 9, "name": "bird"})
        for row in content["annotations"][:5]:
            row["category_id"] = 9

    done = _look(_changed(kites, tmp_path, change))
    assert done.exit_code == 0
    assert "of other categories, left out: 5 annotations of bird" in done.output


def test_a_picture_that_exif_turns_is_suspected(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][0].update(width=110, height=120)

    (finding,) = check(_changed(kites, tmp_path, change)).findings
    assert finding.kind == "other size"
    assert "EXIF" in finding.what


@pytest.mark.parametrize(
    ("file", "named", "hint"),
    [
        ("images/a.png", "images/a.png", "give --val-images {parent}"),
        ("images/day/a.png", "day\\a.png", "there is day/a.png"),
        ("images/a b.png", "a%20b.png", "there is a b.png"),
        ("images/a.png", "C:\\data\\a.png", "there is a.png"),
        ("images/a.png", "/home/me/a.png", "there is a.png"),
        ("images/A.PNG", "a.png", "there is A.PNG"),
        ("images/a.jpg", "a.png", "there is a.jpg"),
        ("images/" + unicodedata.normalize("NFD", "Ü.png"), "Ü.png", "there is "),
        ("images/b.png", "a.png", ""),
    ],
)
def test_what_a_missing_picture_may_be(file: str, named: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    if (tmp_path / "images" / named).is_file():
        pytest.skip("this file system knows no difference")
    said = Neighbours(tmp_path / "images", "--val-images").hint(named)
    assert hint.format(parent=tmp_path) in said
    assert bool(hint) is bool(said)


def test_a_run_s_folder_may_be_begun_with(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"folder without weights\.pth"):
        _checkpoint(str(tmp_path))
    for name in ("weights.pth", "last.pt"):
        (tmp_path / name).touch()
    assert _checkpoint(str(tmp_path)) == str((tmp_path / "weights.pth").resolve())
    (tmp_path / "config.json").write_text('{"task": "pose", "model": "rtmpose-t", "annotations": []}')
    with pytest.raises(
        InputError, match=r"state of a training run; go on with it.*weights: \S+weights\.pth$"
    ):
        _checkpoint(str(tmp_path / "last.pt"))
