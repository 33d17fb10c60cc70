"""Writers: every kind is read back with its own tool, cut short, on full disks, over what exists."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import FrameResult, PoseResult, get_keypoint_set
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.json_lines import read_json_lines
from rtmpose_sdk.parquet_writer import ParquetWriter
from rtmpose_sdk.sources import Frame
from rtmpose_sdk.writers import (
    CocoWriter,
    CsvWriter,
    JsonLinesWriter,
    OpenPoseWriter,
    Writer,
    columns,
    rows,
)

COCO = get_keypoint_set("coco17")


def step(index: int, persons: int = 2, size: tuple[int, int] = (160, 120)) -> tuple[Frame, FrameResult]:
    rng = np.random.default_rng(index)
    poses = PoseResult(
        boxes=rng.uniform(0, 99, (persons, 4)).astype(np.float32),
        box_scores=rng.uniform(0, 1, persons).astype(np.float32),
        keypoints=rng.uniform(0, 99, (persons, 17, 2)).astype(np.float32),
        keypoint_scores=rng.uniform(0, 1.2, (persons, 17)).astype(np.float32),
        confidences=rng.uniform(0, 1, (persons, 17)).astype(np.float32),
        keypoint_set=COCO,
        image_size=size,
        track_ids=np.arange(persons) + 3,
    )
    image = np.full((size[1], size[0], 3), 10 + 20 * (index % 10), np.uint8)
    return Frame(image, index, index / 25), FrameResult(poses, index / 25, index, index % 5 == 0, False)


def fill(writer: Writer, count: int = 4) -> None:
    with writer:
        for index in range(count):
            writer.write(*step(index, persons=index % 3))
    writer.close()


def test_jsonl_is_whole_after_every_frame(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    writer = JsonLinesWriter(file)
    for index in range(3):
        writer.write(*step(index))
        assert len(list(read_json_lines(file))) == index + 1  # while it is open
    row = list(read_json_lines(file))[2]
    back = PoseResult.from_dict(row)
    poses = step(2)[1].poses
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=0.006)
    np.testing.assert_allclose(back.confidences, poses.confidences, atol=1e-4)
    np.testing.assert_array_equal(back.track_ids, poses.track_ids)
    assert (row["frame"], row["time"], row["detected"]) == (2, 0.08, False)
    writer.close()
    with file.open("ab") as end:
        end.write(b'{"frame": 3, "pers')
    cut: list[int] = []
    assert len(list(read_json_lines(file, cut.append))) == 3
    assert file.read_bytes()[cut[0] :].startswith(b'{"frame": 3')
    with pytest.raises(InputError, match="line 4 is no result"):
        list(read_json_lines(file))


PERSON = {"track_id": 1, "keypoints": {"nose": {"x": 1.0, "y": 2, "confidence": 0.5}}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([], "expected an object"),
        ({"time": 0.0, "persons": []}, "expected 'frame', a whole number"),
        ({"frame": 1, "time": None, "persons": []}, "expected 'time', seconds"),
        ({"frame": 1, "time": float("nan"), "persons": []}, "expected 'time', seconds"),
        ({"frame": 1, "time": 0, "persons": {}}, "expected 'persons', a list"),
        ({"frame": 1, "time": 0, "persons": [[1]]}, "expected 'persons', a list of objects"),
        ({"frame": 1, "time": 0, "persons": [{**PERSON, "track_id": "a"}]}, "expected 'track_id'"),
        ({"frame": 1, "time": 0, "persons": [{"track_id": 1}]}, "expected 'keypoints' of a person by name"),
        ({"frame": 1, "time": 0, "persons": [{"keypoints": {"nose": [1, 2]}}]}, "the numbers x, y and"),
    ],
)
def test_lines_of_other_programs(tmp_path: Path, row: object, expected: str) -> None:
    file = tmp_path / "other.jsonl"
    good = {"frame": 0, "time": 0.0, "persons": [PERSON]}
    file.write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    with pytest.raises(InputError, match=rf"other\.jsonl: line 2 is no result of a frame.*{expected}"):
        list(read_json_lines(file))


def test_csv(tmp_path: Path) -> None:
    fill(CsvWriter(tmp_path / "r.csv", COCO))
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["frame"]) for r in rows] == [1, 2, 2]
    poses = step(2)[1].poses
    assert float(rows[2]["left_wrist_x"]) == pytest.approx(float(poses.keypoints[1, 9, 0]), abs=1e-3)
    assert float(rows[2]["left_wrist_confidence"]) == pytest.approx(
        float(poses.confidences[1, 9]), abs=1e-3
    )
    assert rows[2]["track_id"] == "4"


def test_coco_results(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    fill(CocoWriter(file))
    rows = json.loads(file.read_text())
    assert [(r["image_id"], r["track_id"]) for r in rows] == [(1, 3), (2, 3), (2, 4)]
    assert len(rows[0]["keypoints"]) == 51
    fill(CocoWriter(tmp_path / "none.json"), 1)
    assert json.loads((tmp_path / "none.json").read_text()) == []
    assert not list(tmp_path.glob(".*"))


def test_openpose(tmp_path: Path) -> None:
    fill(OpenPoseWriter(tmp_path / "op", "clip"))
    files = sorted(p.name for p in (tmp_path / "op").iterdir())
    assert files[2] == "clip_000000000002_keypoints.json"
    people = json.loads((tmp_path / "op" / files[2]).read_text())["people"]
    assert people[1]["person_id"] == [4]
    flat = np.array(people[1]["pose_keypoints_2d"]).reshape(17, 3)
    np.testing.assert_allclose(flat[:, :2], step(2)[1].poses.keypoints[1], atol=1e-3)


def test_parquet_and_data_frames(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    fill(ParquetWriter(tmp_path / "r.parquet", COCO))
    table = pandas.read_parquet(tmp_path / "r.parquet")
    assert list(table.columns) == columns(COCO)
    assert table["frame"].tolist() == [1, 2, 2]
    frame = step(2)[1].poses.to_dataframe()
    np.testing.assert_allclose(frame["nose_x"], table["nose_x"][1:], atol=1e-3)
    assert frame["track_id"].tolist() == [3, 4]
    assert len(PoseResult.empty(COCO, (9, 9)).to_dataframe()) == 0
    fill(ParquetWriter(tmp_path / "none.parquet", COCO), 1)
    assert len(pandas.read_parquet(tmp_path / "none.parquet")) == 0


def test_supervision() -> None:
    supervision = pytest.importorskip("supervision")
    poses = step(2)[1].poses
    points = poses.to_supervision()
    assert isinstance(points, supervision.KeyPoints)
    np.testing.assert_array_equal(points.xy, poses.keypoints)
    np.testing.assert_array_equal(points.data["track_id"], poses.track_ids)
    nobody = poses[:0].to_supervision()
    assert len(nobody) == len(nobody.data["track_id"]) == 0
    assert len(PoseResult.empty(COCO, (9, 9)).to_supervision()) == 0


def test_results_that_are_none() -> None:
    with pytest.raises(InputError, match=r"not a result as PoseResult\.to_dict"):
        PoseResult.from_dict({"keypoint_set": "coco17", "persons": [{}], "image_size": [1, 1]})


@pytest.mark.parametrize("kind", [JsonLinesWriter, CocoWriter, lambda p, o: CsvWriter(p, COCO, o)])
def test_what_exists_is_not_replaced_unasked(tmp_path: Path, kind: object) -> None:
    file = tmp_path / "r.out"
    file.write_text("precious")
    with pytest.raises(OutputError, match=r"exists already; .*--overwrite"):
        kind(file, False)
    assert file.read_text() == "precious"
    fill(kind(file, True))
    assert file.read_text() != "precious"
    with pytest.raises(OutputError, match="is a folder; expected the name of a file"):
        kind(tmp_path, True)


FULL = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_writers import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
writer = {writer}
try:
    with writer:
        for index in range({frames}):
            writer.write(*step(index, {persons}))
except OutputError as error:
    print(error)
"""


def write_until_full(
    folder: Path, writer: str, limit: int = 20000, frames: int = 500, persons: str = "2"
) -> str:
    """A limit on the size of files stands in for the disk's end: the system refuses the same way."""
    code = FULL.format(
        tests=str(Path(__file__).parent), writer=writer, limit=limit, frames=frames, persons=persons
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "kind", ["JsonLinesWriter(Path('r'))", "CocoWriter(Path('r'))", "CsvWriter(Path('r'), COCO)"]
)
def test_a_full_disk_keeps_what_was_written(tmp_path: Path, kind: str) -> None:
    said = write_until_full(tmp_path, kind)
    assert "r: cannot be written (File too large); what was written is kept" in said
    file = tmp_path / "r"
    if kind.startswith("JsonLines"):
        count = len(list(read_json_lines(file)))
    elif kind.startswith("Coco"):
        count = len(json.loads(file.read_text()))
    else:
        with file.open(newline="") as text:
            table = list(csv.reader(text))
        assert file.read_bytes().endswith(b"\r\n")
        assert {len(row) for row in table} == {len(columns(COCO))}
        frame, found = step(int(table[-1][0]))
        assert table[-1] == [str(value) for value in list(rows(frame, found.poses))[1]]
        count = len(table) - 1
    assert count > 3


def test_a_full_disk_keeps_parquets_rows(tmp_path: Path) -> None:
    """All of them: what does not fit in a part goes into smaller ones; what cannot be joined stays."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    said = write_until_full(tmp_path, "ParquetWriter(Path('r'), COCO)", 200_000, 700)
    assert "r: cannot be written (" in said
    assert "kept in r.parts, which pandas.read_parquet reads as one table" in " ".join(said.split())
    table = pandas.read_parquet(tmp_path / "r.parts")
    assert table["frame"].tolist() == [i // 2 for i in range(1400)]
    assert not (tmp_path / "r").exists()
    with pytest.raises(OutputError, match=r"r\.parts: holds the rows of a run that was cut short"):
        ParquetWriter(tmp_path / "r", COCO)
    fill(ParquetWriter(tmp_path / "r", COCO, overwrite=True))
    assert len(pandas.read_parquet(tmp_path / "r")) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_disk_with_no_room_at_all_keeps_parquets_parts(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    writer = ParquetWriter(tmp_path / "r", COCO)
    for index in range(600):  # the first part of 1000 rows is written
        writer.write(*step(index))
    writer._write_part = full
    with pytest.raises(OutputError, match=r"No space left.*kept in .*r\.parts"):
        fill(writer, 2000)
    assert len(pandas.read_parquet(tmp_path / "r.parts")) == 1000


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_killed_run_leaves_parquets_parts(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    writer = ParquetWriter(tmp_path / "r", COCO)
    for index in range(1100):
        writer.write(*step(index))
    assert len(pandas.read_parquet(tmp_path / "r.parts")) == 2000  # what is on the disk now
    writer.close()
    table = pandas.read_parquet(tmp_path / "r")
    assert table["frame"].tolist() == [i // 2 for i in range(2200)]


def test_a_full_disk_keeps_openposes_files(tmp_path: Path) -> None:
    """Frame after frame with more people, until a file is too large."""
    said = write_until_full(tmp_path, "OpenPoseWriter(Path('r'), 'c')", persons="index")
    assert "_keypoints.json: cannot be written (File too large)" in said
    files = sorted((tmp_path / "r").iterdir())
    assert [len(json.loads(f.read_text())["people"]) for f in files] == list(range(len(files)))
    assert len(files) > 5


def test_a_full_disk_keeps_a_videos_pictures(tmp_path: Path) -> None:
    pytest.importorskip("av")
    said = write_until_full(tmp_path, "make_video_writer(Path('r.mp4'), threads=1)", 15000, 600)
    assert "r.mp4: " in said
    assert "cannot be written (" in said
    from rtmpose_sdk import open_source
    from rtmpose_sdk.errors import SourceError

    readable = 0
    with contextlib.suppress(SourceError):  # half a picture at its end is called broken by some FFmpegs
        for readable, _ in enumerate(open_source(tmp_path / "r.mp4"), 1):  # noqa: B007
            pass
    assert readable > 20


def test_an_older_series_of_openpose_files_goes(tmp_path: Path) -> None:
    """A longer run's files would stay beside a shorter one's; everything else is left alone."""
    fill(OpenPoseWriter(tmp_path, "clip", overwrite=True), 6)
    others = [
        "clip_2_000000000005_keypoints.json",
        "clip_000000000005_keypoints.json.txt",
        "notes.txt",
        "clip_5_keypoints.json",
    ]
    for name in others:
        (tmp_path / name).write_text("mine")
    fill(OpenPoseWriter(tmp_path, "clip", overwrite=True), 2)
    series = [f"clip_00000000000{i}_keypoints.json" for i in range(4)]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, *series[:2]])
    with OpenPoseWriter(tmp_path, "clip", overwrite=True, append=True) as writer:
        writer.write(*step(3))
    assert sorted(p.name for p in tmp_path.glob("clip_0*.json")) == [*series[:2], series[3]]


def make_video_writer(file: Path, **options: object) -> Writer:
    pytest.importorskip("av")
    from rtmpose_sdk.video_writer import VideoWriter

    return VideoWriter(file, 25.0, **options)


def test_a_video_keeps_times_and_pictures(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    file = tmp_path / "v.mp4"
    with make_video_writer(file) as writer:
        for index in (0, 1, 2, 5, 6):
            writer.write(*step(index, size=(161, 121)))  # odd sides
    from rtmpose_sdk import open_source

    frames = list(open_source(file))
    np.testing.assert_allclose([f.time for f in frames], np.array([0, 1, 2, 5, 6]) / 25, atol=1e-3)
    np.testing.assert_allclose([f.image.mean() for f in frames], [10, 30, 50, 110, 130], atol=4)
    assert frames[0].image.shape == (122, 162, 3)
    with av.open(str(file)) as container:  # a player's clock, which knows no other beginning
        assert [float(f.pts * f.time_base) for f in container.decode(video=0)][:2] == [0.0, 0.04]


def test_a_video_of_a_part_plays_at_once(tmp_path: Path) -> None:
    """Players would show nothing for as long as the first frame's time says."""
    av = pytest.importorskip("av")
    file = tmp_path / "v.mp4"
    with make_video_writer(file) as writer:
        for index in (500, 501, 503):
            writer.write(*step(index))
    with av.open(str(file)) as container:
        times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    np.testing.assert_allclose(times, [0, 0.04, 0.12], atol=1e-4)


def test_a_video_of_variable_rate_states_its_duration(tmp_path: Path) -> None:
    """Players end where the file says, also before its last frames."""
    av = pytest.importorskip("av")
    file = tmp_path / "v.mp4"
    with make_video_writer(file) as writer:
        for index in (*range(20), 40, 60, 80):
            writer.write(*step(index))
    with av.open(str(file)) as container:
        assert container.duration / 1e6 >= 80 / 25


def test_a_videos_colours_are_named_and_kept(tmp_path: Path) -> None:
    """Players take what is not named for BT.709, FFmpeg takes it for BT.601: greens would differ by 19."""
    av = pytest.importorskip("av")
    file = tmp_path / "v.mp4"
    green = np.full((120, 160, 3), (40, 200, 120), np.uint8)
    frame, found = step(0)
    with make_video_writer(file) as writer:
        writer.write(replace(frame, image=green), found)
    with av.open(str(file)) as container:
        shown = next(container.decode(video=0))
        assert [shown.colorspace, shown.color_range] == [1, 1]
        assert [shown.color_primaries, shown.color_trc] == [1, 1]
        assert abs(int(shown.to_ndarray()[60, 80]) - 163) <= 2  # BT.709's luma; BT.601's is 151
    from rtmpose_sdk import open_source

    assert np.abs(next(iter(open_source(file))).image.astype(int) - green).max() <= 5


def test_a_videos_name_may_look_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with make_video_writer(Path("12_30.mp4" if os.name == "nt" else "12:30.mp4")) as writer:
        writer.write(*step(0))
    [file] = tmp_path.iterdir()
    assert file.stat().st_size > 500


def test_a_video_that_is_cut_short_plays(tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    writer = make_video_writer(file, threads=1)
    for index in range(200):
        writer.write(*step(index))
    copy = tmp_path / "killed.mp4"
    copy.write_bytes(file.read_bytes())  # what a killed run leaves
    writer.close()
    from rtmpose_sdk import open_source

    assert len(list(open_source(file))) == 200
    left = list(open_source(copy))
    assert 100 <= len(left) < 200


def test_a_video_has_one_size(tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    writer = make_video_writer(file)
    for index in range(3):
        writer.write(*step(index))
    with pytest.raises(OutputError, match=r"frame 3 is 80x60 px, the video 160x120"):
        writer.write(*step(3, size=(80, 60)))
    writer.close()
    from rtmpose_sdk import open_source

    assert len(list(open_source(file))) == 3
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        make_video_writer(tmp_path / "file" / "v.mp4")


def test_an_encoder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpose_sdk.video_writer.CODEC", "libnothing")
    with (
        pytest.raises(OutputError, match="no encoder libnothing"),
        make_video_writer(tmp_path / "v.mp4") as w,
    ):
        w.write(*step(0))
    assert not list(tmp_path.iterdir())


def test_memory_of_writers_does_not_grow(tmp_path: Path) -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    writers = [
        JsonLinesWriter(tmp_path / "r.jsonl"),
        CocoWriter(tmp_path / "r.json"),
        CsvWriter(tmp_path / "r.csv", COCO),
    ]
    one = step(1)
    for count in (200, 2000):
        before = peak()
        for _ in range(count):
            for writer in writers:
                writer.write(*one)
    assert peak() - before < 4096  # KiB
    for writer in writers:
        writer.close()
