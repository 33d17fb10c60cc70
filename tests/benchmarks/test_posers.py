"""Pictures in batches, in processes and after an interruption give what they give one by one."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from rtmpose_sdk import Pipeline, Predictor
from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.benchmarks import posers
from rtmpose_sdk.benchmarks.coco_score import FIGURES
from rtmpose_sdk.benchmarks.posers import Task, batched, in_processes, kept, one_by_one
from rtmpose_sdk.cli.evaluate_resume import settings_of
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.errors import DownloadError, ImageError, InputError, OutputError
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.zoo import find_model

SETTINGS = {"pose": "t", "flip_test": False}


@pytest.fixture(scope="module")
def tasks(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for i, persons in enumerate((2, 0, 1, 3, 1)):
        cv2.imwrite(str(folder / f"{i}.png"), photo[: 500 - 9 * i, 7 * i :])
        boxes = np.array([[60 + 20 * k, 10, 330 + 9 * k, 480 - 30 * k] for k in range(persons)], np.float32)
        found.append(Task(10 + i, folder / f"{i}.png", boxes.reshape(-1, 4)))
    return found


@pytest.fixture(scope="module")
def predictor():
    with Predictor("rtmpose-t-own", threads=1, batch_limit=3) as found:
        yield found


@pytest.fixture(scope="module")
def want(tasks: list[Task], predictor: Predictor) -> list[PoseResult]:
    return list(one_by_one(predictor)(tasks))


def same(found: list[PoseResult], want: list[PoseResult], exact: bool = False) -> None:
    assert [len(poses) for poses in found] == [len(poses) for poses in want]
    for ours, theirs in zip(found, want, strict=True):
        assert ours.image_size == theirs.image_size
        for name in ("boxes", "box_scores", "keypoints", "keypoint_scores", "confidences"):
            a, b = getattr(ours, name), getattr(theirs, name)
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, atol=0 if exact else 2e-4, rtol=0)


def test_batches_over_pictures(tasks: list[Task], predictor: Predictor, want: list[PoseResult]) -> None:
    calls = []
    run = predictor.runtime.run
    predictor.runtime.run = lambda images: calls.append(len(images)) or run(images)  # type: ignore[method-assign]
    try:
        same(list(batched(predictor)(tasks)), want)
    finally:
        predictor.runtime.run = run  # type: ignore[method-assign]
    assert sum(calls) == 7
    assert len(calls) == 3  # 3 persons of the first three pictures, 3 of the fourth, the last one


def test_many_says_what_is_wrong(photo: np.ndarray, predictor: Predictor) -> None:
    with pytest.raises(InputError, match="2 pictures and boxes of 1"):
        predictor.many([photo, photo], [np.empty((0, 4), np.float32)])
    with pytest.raises(InputError):
        predictor.many([photo], [[[5, 5, 1, 1]]])
    assert predictor.many([], []) == []


def test_processes_keep_the_order_and_hand_errors_on(
    tasks: list[Task], want: list[PoseResult], tmp_path: Path
) -> None:
    start = functools.partial(Pipeline, "rtmpose-t-own", None, threads=1)
    poser = in_processes(2, start)
    same(list(poser(tasks)), want)
    with pytest.raises(ImageError, match=r"none\.png"):
        list(poser([*tasks, Task(99, tmp_path / "none.png", tasks[0].boxes)]))


def test_processes_hold_opencv_as_their_parent_does() -> None:
    before = cv2.getNumThreads()
    try:
        posers._start(lambda: None, 1)  # type: ignore[arg-type, return-value]
        assert cv2.getNumThreads() == 1
    finally:
        posers._pipeline = None
        cv2.setNumThreads(before)


def test_a_run_that_was_cut_off_goes_on(
    tasks: list[Task], predictor: Predictor, want: list[PoseResult], tmp_path: Path
) -> None:
    asked: list[int] = []

    def watched(tasks):
        for task, poses in zip(tasks, one_by_one(predictor)(tasks), strict=True):
            asked.append(task.picture)
            yield poses

    file = tmp_path / "kept.jsonl"
    poser = kept(watched, file, SETTINGS, predictor.keypoint_set)
    same(list(itertools.islice(poser(tasks), 3)), want[:3], exact=True)
    with file.open("ab") as lines:
        lines.write(b'{"picture": 13, "boxes": [[1')  # killed while it wrote
    same(list(poser(tasks)), want, exact=True)
    assert asked == [10, 11, 12, 13, 14]
    same(list(poser(tasks)), want, exact=True)
    assert len(asked) == 5
    assert len(file.read_text().splitlines()) == 6


def test_a_file_of_other_settings_or_of_another_kind(
    tasks: list[Task], predictor: Predictor, tmp_path: Path
) -> None:
    file = tmp_path / "kept.jsonl"
    start = functools.partial(kept, one_by_one(predictor), file, keypoint_set=predictor.keypoint_set)
    list(start(settings=SETTINGS)(tasks[:1]))
    with pytest.raises(InputError, match=r"begun with pose t \(now m\)"):
        list(start(settings={**SETTINGS, "pose": "m"})(tasks))
    for content in ("[]\n", '{"a": 1}\n[]\n', "x\n", '{"pose": "t", "flip_test": false}\n{"picture": 1}\n'):
        file.write_text(content)
        with pytest.raises(InputError, match="--resume"):
            list(start(settings=SETTINGS)(tasks))
    file.write_text('{"of": "another program, in one line"}')
    with pytest.raises(InputError, match=r"no whole line.*give another name"):
        list(start(settings=SETTINGS)(tasks))
    assert file.read_text() == '{"of": "another program, in one line"}'
    file.write_text('{"pose": "t", "fl')  # killed while it wrote its first line
    assert len(list(start(settings=SETTINGS)(tasks[:1]))) == 1


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), DownloadError("no network")])
def test_an_error_of_the_poser_is_not_the_files(
    tasks: list[Task], predictor: Predictor, tmp_path: Path, error: Exception
) -> None:
    def breaks(tasks):
        yield from one_by_one(predictor)(tasks[:1])
        raise error

    poser = kept(breaks, tmp_path / "kept.jsonl", SETTINGS, predictor.keypoint_set)
    with pytest.raises(type(error)) as caught:
        list(poser(tasks))
    assert caught.value is error
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written(
    tasks: list[Task], predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = functools.partial(kept, one_by_one(predictor), keypoint_set=predictor.keypoint_set)
    list(start(tmp_path / "new" / "folder" / "r.jsonl", settings=SETTINGS)(tasks[:1]))  # is made
    file, opened = tmp_path / "r.jsonl", Path.open

    def full(path: Path, mode: str = "r", **options: object):
        return opened(Path("/dev/full") if mode == "a" else path, mode, **options)

    def read_only(path: Path, mode: str = "r", **options: object):
        if "+" in mode:
            raise OSError(30, "Read-only file system")
        return opened(path, mode, **options)

    list(start(file, settings=SETTINGS)(tasks[:1]))
    with file.open("a") as lines:
        lines.write('{"picture"')  # killed while it wrote
    for instead, why in ((read_only, "Read-only"), (full, "No space left")):
        monkeypatch.setattr(Path, "open", instead)
        with pytest.raises(OutputError, match=rf"r\.jsonl: cannot be written \({why}"):
            list(start(file, settings=SETTINGS)(tasks))


def test_another_card_or_folder_is_another_setting(photo_path: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    network = onnx.load(find_model("rtmpose-t-own"))
    card = artifact_card("rtmpose-t-own")
    del network.metadata_props[:]
    onnx.save(network, model)
    beside = tmp_path / "model.onnx.card.json"
    annotations = tmp_path / "a.json"
    annotations.write_text("{}")
    found = []
    for padding, images in ((1.25, "a"), (1.5, "a"), (1.25, "a"), (1.25, "b")):
        beside.write_text(dataclasses.replace(card, bbox_padding=padding).to_json())
        with Pipeline(model, None, threads=1) as pipeline:
            found.append(settings_of(pipeline, annotations, tmp_path / images, False, 0.3))
    assert found[0] == found[2] != found[1]
    assert found[0] != found[3]


def test_command(coco: dict, tmp_path: Path) -> None:
    rows = coco["images"][:12]
    ids = {row["id"] for row in rows}
    part = {
        "images": rows,
        "annotations": [a for a in coco["annotations"] if a["image_id"] in ids],
        "categories": coco["categories"],
    }
    (tmp_path / "part.json").write_text(json.dumps(part))
    figures = []
    for name, more in {
        "a": ("--batch", "1"),
        "b": ("--processes", "2"),
        "c": ("--resume", str(tmp_path / "r.jsonl")),
        "d": ("--resume", str(tmp_path / "r.jsonl"), "--batch", "4"),
    }.items():
        words = ["eval", "--annotations", tmp_path / "part.json", "--images", coco["folder"], *more]
        done = CliRunner().invoke(
            app, [*map(str, words), "--threads", "1", *more, "--json", str(tmp_path / name)]
        )
        assert done.exit_code == 0, done.output
        figures.append(json.loads((tmp_path / name).read_text()))
    assert figures[0]["AP"] > 0.1
    for other in figures:
        assert {name: other[name] for name in FIGURES} == pytest.approx(
            {name: figures[0][name] for name in FIGURES}, abs=1e-3
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"][0].update(image_id=-5),
            r"1 of \d+ annotations .*not in 'images'",
        ),
        (lambda c: c["images"].append(c["images"][0]), "of images belong to several"),
        (lambda c: c["annotations"].append(c["annotations"][1]), "of annotations belong to several"),
        (lambda c: c["images"][2].pop("id"), r"images 2 \(of \d+\) has no id"),
        (lambda c: [a.pop("keypoints") for a in c["annotations"]], "--boxes-only"),
    ],
)
def test_ids_that_do_not_match(coco: dict, tmp_path: Path, change, message: str) -> None:
    from rtmpose_sdk.benchmarks.accuracy import evaluate_pipeline

    content = json.loads(Path(coco["file"]).read_text())
    change(content)
    (tmp_path / "odd.json").write_text(json.dumps(content))
    with Pipeline(detector=None) as pipeline, pytest.raises(InputError, match=message):
        evaluate_pipeline(pipeline, tmp_path / "odd.json", coco["folder"])
