"""Data that is wrong in the ways that data is wrong."""

from __future__ import annotations

import copy
import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import DataError, ImageError, InputError, OutputError
from rtmpose_sdk.keypoint_sets import get_keypoint_set, keypoint_set_named
from rtmpose_sdk.training.canvases import cut_canvases
from rtmpose_sdk.training.check import check
from rtmpose_sdk.training.order import sample_at, sample_order
from rtmpose_sdk.training.persons import Persons, Source, read_keypoint_set, read_persons
from rtmpose_sdk.training.pictures import PictureCache, read_pictures
from rtmpose_sdk.training.sides import mirror_pairs


def _changed(kites: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Source:
    content = json.loads(kites.read_text())
    change(content)
    file = folder / "changed.json"
    file.write_text(json.dumps(content))
    return Source(file, kites.parent / "images")


def test_persons_are_read_as_they_are_written(kites: Path) -> None:
    source = Source.of(kites)
    persons = read_persons([source, source], 5)
    row = json.loads(kites.read_text())["annotations"][3]
    assert len(persons) == 48
    x, y, w, h = row["bbox"]
    assert persons.boxes[27].tolist() == pytest.approx([x, y, x + w, y + h])
    assert persons.keypoints[27].reshape(-1).tolist() == pytest.approx(
        np.delete(row["keypoints"], slice(2, None, 3)).tolist()
    )
    assert persons.ids[27] == 4


def test_crowds_tiny_and_unlabelled_persons_are_left_out(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        rows = content["annotations"]
        rows[0]["iscrowd"] = 1
        rows[1]["bbox"][2] = 5
        rows[2]["keypoints"] = [0] * 15
        rows[3].pop("keypoints")
        rows[4]["category_id"] = 99

    source = _changed(kites, tmp_path, change)
    assert read_persons([source], 5).ids == tuple(range(6, 25))
    assert read_persons([source], 5, labelled_only=False).ids == (3, 4, *range(6, 25))


@pytest.mark.parametrize("kind", [int, "person {}".format])
def test_saved_persons_come_back(kind: Callable[[int], object], kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for row in content["annotations"]:
            row["id"] = kind(row["id"])

    persons = read_persons([_changed(kites, tmp_path, change)], 5)
    assert persons.ids[3] == kind(4)
    persons.save(tmp_path / "labels.npz")
    again = Persons.load(tmp_path / "labels.npz")
    assert again.files == persons.files
    assert again.ids == persons.ids
    for name in ("boxes", "keypoints", "weights"):
        assert np.array_equal(getattr(again, name), getattr(persons, name))


def _drop_categories(content: dict[str, Any]) -> None:
    content["categories"] = []


def _two_categories(content: dict[str, Any]) -> None:
    content["categories"] = [{"id": 7, "name": "kite"}, {"id": 8, "name": "bird"}]
    content["annotations"][0]["category_id"] = 8


def _no_names(content: dict[str, Any]) -> None:
    content["categories"][0].pop("keypoints")


def _short(content: dict[str, Any]) -> None:
    content["annotations"][5]["keypoints"] = [1, 2, 2]


def _no_box(content: dict[str, Any]) -> None:
    content["annotations"][5].pop("bbox")


def _no_image(content: dict[str, Any]) -> None:
    content["annotations"][5]["image_id"] = 500


def _nobody(content: dict[str, Any]) -> None:
    content["annotations"] = []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop_categories, "categories are none"),
        (_two_categories, "categories are kite, bird; .* call its category 'person'"),
        (_no_names, "category 'kite' has no keypoints"),
        (_short, "annotation 6 has 3 keypoint numbers; expected 15"),
        (_no_box, "has no usable bbox"),
        (_no_image, "names no picture"),
        (_nobody, "nobody to learn from"),
        (lambda content: content.pop("images"), "not COCO annotations"),
    ],
)
def test_annotations_that_do_not_fit(
    change: Callable[[dict[str, Any]], object], message: str, kites: Path, tmp_path: Path
) -> None:
    source = _changed(kites, tmp_path, change)
    with pytest.raises(InputError, match=message):
        read_persons([source], len(read_keypoint_set([source])))


def _row(part: str, **values: object) -> Callable[[dict[str, Any]], object]:
    """Row 3 with other values; None takes one away."""

    def change(content: dict[str, Any]) -> None:
        row = content[part][3]
        row.update(values)
        for name in [name for name, value in values.items() if value is None]:
            row.pop(name)

    return change


def _no_object(part: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[part].insert(3, "a row")


_OTHER_SHAPES = [
    (_row("images", file_name=None), "images 3"),
    (_row("images", id=None), "images 3"),
    (_row("images", id=[3]), "images 3"),
    (_no_object("images"), "images 3"),
    (_no_object("annotations"), "annotations 3"),
    (_row("annotations", bbox="10 10 50 50"), "annotation .*10 10 50 50"),
    (_row("annotations", bbox=["10", "10", "50", "50"]), "annotation .*'50'"),
    (_row("annotations", bbox=[10, 10, float("nan"), 50]), "annotation .*nan"),
]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *_OTHER_SHAPES,
        (_row("annotations", image_id=[3]), "annotation 4 names no picture"),
        (_row("annotations", id=[1]), "annotation .*no id; expected a number, or text"),
        (
            _row("annotations", keypoints="1 2 2"),
            "annotation 4 has keypoints that are not a list of numbers",
        ),
        (_row("annotations", keypoints=[float("nan")] * 15), "annotation 4 .* not finite"),
        (
            lambda content: content["categories"][0].update(skeleton=[["top", "tail"]]),
            r"bone 0 of category 'kite' is \['top', 'tail'\]",
        ),
        (
            lambda content: content["categories"][0].update(skeleton=[1, 2]),
            "bone 0 of category 'kite' is 1",
        ),
        (
            lambda content: content["categories"][0].update(skeleton=[[1, 2], [0, 1]]),
            r"bone 1 of category 'kite' is \[0, 1\], but its 5 keypoints are numbered from 1 to 5",
        ),
        (
            lambda content: content["categories"][0].update(skeleton=[[1, 6]]),
            r"bone 0 of category 'kite' is \[1, 6\]",
        ),
        (
            lambda content: content["categories"][0].update(keypoints=["a"] * 5),
            "several keypoints called a",
        ),
    ],
)
def test_rows_of_another_shape_are_named(
    change: Callable[[dict[str, Any]], object], message: str, kites: Path, tmp_path: Path
) -> None:
    source = _changed(kites, tmp_path, change)
    with pytest.raises(DataError, match=rf"changed\.json: .*{message}"):
        read_persons([source], len(read_keypoint_set([source])))


@pytest.mark.parametrize(
    ("change", "message"),
    [*_OTHER_SHAPES, (_row("annotations", image_id=None), "annotation .* has no image_id")],
)
def test_rows_of_another_shape_are_named_for_a_detector(
    change: Callable[[dict[str, Any]], object], message: str, kites: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"changed\.json: .*{message}"):
        read_pictures([_changed(kites, tmp_path, change)])


@pytest.mark.parametrize(
    ("change", "kind", "where"),
    [
        (_row("images", file_name=None), "picture row", "images 3"),
        (_no_object("images"), "picture row", "images 3"),
        (_no_object("annotations"), "annotation row", "annotations 3"),
        (_row("annotations", bbox="10 10 50 50"), "no box", "annotation 4"),
        (_row("annotations", bbox=["10", "10", "50", "50"]), "no box", "annotation 4"),
        (_row("annotations", keypoints=7), "keypoint count", "annotation 4"),
        (_row("annotations", id=[1]), "no id", "annotation [1]"),
        (_row("annotations", image_id=[1]), "no picture", "annotation 4"),
        (_row("images", id=1), "id used twice", "3.png"),
        (
            lambda content: content["categories"][0].update(skeleton=[[0, 1]]),
            "skeleton",
            "changed.json",
        ),
    ],
)
def test_data_check_lists_rows_of_another_shape(
    change: Callable[[dict[str, Any]], object], kind: str, where: str, kites: Path, tmp_path: Path
) -> None:
    """And the contact sheet is drawn of those that are left."""
    source = _changed(kites, tmp_path, change)
    assert (kind, where) in {(f.kind, f.where) for f in check(source).findings}
    sheet = tmp_path / "sheet.png"
    arguments = ["data", "check", str(source.annotations), "--images", str(source.images)]
    done = CliRunner().invoke(app, [*arguments, "--sheet", str(sheet)])
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1
    assert kind in done.output
    assert sheet.is_file()


def test_data_check_refuses_names_of_another_shape(kites: Path, tmp_path: Path) -> None:
    source = _changed(kites, tmp_path, lambda content: content["categories"][0].update(keypoints=5))
    with pytest.raises(DataError, match=r"changed\.json: category 'kite' has the keypoints 5"):
        check(source)


def test_data_check_says_why_there_is_nobody(kites: Path, tmp_path: Path) -> None:
    def crowds(content: dict[str, Any]) -> None:
        for row in content["annotations"]:
            row["iscrowd"] = 1

    def strangers(content: dict[str, Any]) -> None:
        for row in content["annotations"]:
            row["image_id"] = 77

    with pytest.raises(DataError, match=r"changed\.json: all 24 persons are crowds"):
        check(_changed(kites, tmp_path, crowds))
    with pytest.raises(DataError, match=r"24 persons, .* no picture's \(image_id 77\)"):
        check(_changed(kites, tmp_path, strangers))


def test_the_skeleton_of_a_known_set_is_its_own(kites: Path, tmp_path: Path) -> None:
    """CrowdPose's file has bones of COCO's 17 keypoints beside its 14."""
    known = get_keypoint_set("crowdpose14")

    def change(content: dict[str, Any]) -> None:
        content["categories"][0].update(keypoints=list(known.names), skeleton=[[16, 14]])

    assert read_keypoint_set([_changed(kites, tmp_path, change)]) is known


def test_files_with_other_keypoints_are_not_mixed(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["categories"][0]["keypoints"][4] = "string"

    with pytest.raises(DataError, match=r"those of the first file are top, left_wing"):
        read_keypoint_set([Source.of(kites), _changed(kites, tmp_path, change)])


def test_a_missing_picture_is_named(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][2]["file_name"] = "gone.png"

    with pytest.raises(ImageError, match=r"gone\.png"):
        cut_canvases(read_persons([_changed(kites, tmp_path, change)], 5), (64, 64), 1.25)


@pytest.mark.parametrize(("count", "end"), [(3, "2.png is empty.*bytes$"), (7, "check --shown 7$")])
def test_broken_pictures_are_named_at_once(count: int, end: str, kites: Path, tmp_path: Path) -> None:
    shutil.copytree(kites.parent / "images", tmp_path / "images")
    for number in range(count):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"")
    persons = read_persons([Source(kites, tmp_path / "images")], 5)
    with pytest.raises(ImageError, match=rf"^{count} pictures cannot be used: .*0\.png is empty.*{end}"):
        cut_canvases(persons, (64, 64), 1.25)


def test_canvases_show_the_person_in_the_middle(kites: Path, tmp_path: Path) -> None:
    persons = read_persons([Source.of(kites)], 5)
    kept = cut_canvases(persons, (64, 96), 1.25, tmp_path / "canvases.u8")
    again = cut_canvases(persons, (64, 96), 1.25, tmp_path / "canvases.u8")
    assert kept.images.shape == (24, 144, 96, 3)
    assert np.array_equal(kept.images, again.images)
    top = np.rint(kept.keypoints[:, 0]).astype(int)
    colors = kept.images[np.arange(24), top[:, 1], top[:, 0]]
    assert (np.abs(colors.astype(int) - (40, 40, 230)).max(axis=1) < 60).all()


def test_canvases_of_other_annotations_are_refused(kites: Path, tmp_path: Path) -> None:
    """A row was taken out while a run was stopped: every later person would have another's picture."""
    file = tmp_path / "canvases.u8"
    persons = read_persons([Source.of(kites)], 5)
    cut_canvases(persons, (64, 96), 1.25, file)
    moved = persons.keypoints.copy()
    moved[3, 2] += 1
    for other in (persons.chosen(np.arange(1, 24)), replace(persons, keypoints=moved)):
        with pytest.raises(DataError, match="was cut of other annotations"):
            cut_canvases(other, (64, 96), 1.25, file)
    with pytest.raises(DataError, match="was cut of other annotations"):
        cut_canvases(persons, (64, 96), 1.5, file)


def test_a_full_disk_is_found_before_canvases_are_cut(
    kites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing into a mapped file would end the process with a bus error."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    persons = read_persons([Source.of(kites)], 5)
    with pytest.raises(OutputError, match=r"No space left on device\); the crops .* take 0\.0 GiB"):
        cut_canvases(persons, (64, 96), 1.25, tmp_path / "canvases.u8")
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    cut_canvases(persons, (64, 96), 1.25, tmp_path / "canvases.u8")


def test_pictures_without_persons_are_kept_for_the_detector(kites: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1
        del content["annotations"][1]

    pictures = read_pictures([_changed(kites, tmp_path, change)])
    assert [len(b) for b in pictures.boxes[:3]] == [0, 0, 1]
    assert [len(c) for c in pictures.crowds[:3]] == [1, 0, 0]
    image, factor = PictureCache(pictures.files, 60)(0)
    assert max(image.shape) == 60
    assert factor == 0.5


def test_every_sample_is_seen_once_in_an_epoch() -> None:
    seen = np.concatenate([sample_order(10, 4, step, seed=3) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])
    assert np.array_equal(sample_at(10, np.arange(20), 3), seen)


def _spoil(content: dict[str, Any]) -> None:
    rows = content["annotations"]
    rows[0]["bbox"] = [300, 10, 20, 20]
    rows[1]["bbox"] = [10, 10, -5, 20]
    rows[2]["keypoints"][0:2] = [500, 20]
    rows[3]["keypoints"][3:5] = [1.0, 108.0]
    rows[4]["image_id"] = 77
    rows[5]["id"] = rows[6]["id"]
    rows[7]["keypoints"] = rows[7]["keypoints"][:12]
    content["images"][8]["file_name"] = "gone.png"
    content["images"][9]["width"] = 999
    rows[10]["bbox"] = [1, 1, 20, 20]
    for row in rows:
        row["keypoints"][12:] = [0, 0, 0]


def test_data_check_finds_what_was_spoilt(kites: Path, tmp_path: Path) -> None:
    report = check(_changed(kites, tmp_path, _spoil))
    found = {(f.kind, f.where) for f in report.findings}
    for expected in (
        ("box outside", "annotation 1"),
        ("empty box", "annotation 2"),
        ("keypoint outside picture", "annotation 3"),
        ("keypoint outside box", "annotation 11"),
        ("no picture", "annotation 5"),
        ("id used twice", "annotation 7"),
        ("missing picture", "gone.png"),
        ("other size", "9.png"),
        ("never labelled", "tail"),
    ):
        assert expected in found, expected
    assert report.keypoints["tail"] == 0


def test_data_check_suspects_a_swapped_person_and_no_other(shared: Path, tmp_path: Path) -> None:
    """Half of a real person's pairs exchanged; all of them is a person seen from behind."""
    file = shared / "data" / "coco_val_dev" / "person_keypoints_val_dev.json"
    content = json.loads(file.read_text())
    rows = [r for r in content["annotations"] if r["num_keypoints"] == 17 and not r["iscrowd"]]
    swapped = copy.deepcopy(rows)
    for row in swapped:
        points = np.array(row["keypoints"]).reshape(17, 3)
        for left in (5, 11, 13):  # shoulders, hips, knees
            points[[left, left + 1]] = points[[left + 1, left]]
        row["keypoints"] = points.reshape(-1).tolist()
    found = []
    for chosen in (rows, swapped):
        changed = tmp_path / f"{len(found)}.json"
        changed.write_text(json.dumps({**content, "annotations": chosen}))
        report = check(Source(changed, file.parent / "images"))
        found.append(sum(f.kind == "left and right swapped?" for f in report.findings))
    assert found[0] < 0.05 * len(rows)
    assert found[1] > 0.9 * len(rows)


def test_data_check_command(kites: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    good = CliRunner().invoke(app, ["data", "check", str(kites), "--sheet", str(sheet)])
    assert good.exit_code == 0, good.output
    assert "24 pictures, 24 persons, 24 with keypoints" in good.output
    assert "mirror pairs, by their names: left_wing - right_wing\n" in good.output
    assert "nothing wrong was found" in good.output
    assert cv2.imread(str(sheet)).std() > 10
    source = _changed(kites, tmp_path, _spoil)
    bad = CliRunner().invoke(
        app, ["data", "check", str(source.annotations), "--images", str(source.images)]
    )
    assert bad.exit_code == 1
    assert "box outside" in bad.output


def test_who_is_mirrored_is_said() -> None:
    def said(*names: str) -> str:
        return mirror_pairs(keypoint_set_named("made up", names)).partition(": ")[2]

    assert said("nose", "LEye", "REye") == "LEye - REye"
    assert said("nose", "tail") == "none"
    assert said("nose", "left_eye", "right_eye", "Lpaw", "paw_left") == (
        "left_eye - right_eye; in no pair: nose, Lpaw, paw_left"
    )
