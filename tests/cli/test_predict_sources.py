"""Which videos and pictures do the named sources mean, and what are their results called?"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path, PureWindowsPath

import cv2
import pytest

from rtmpose_sdk.cli.predict_sources import common_folder, left_out, name_of, split_sources
from rtmpose_sdk.errors import InputError

from .conftest import BIN, Called, lines

pytest.importorskip("av")


def test_pictures_as_one_video(photo_path: Path, tmp_path: Path, called: Called) -> None:
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    (tmp_path / "in").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), photo)
    done = called("predict", "in", "--track", "--fps", 10, "--save", "jsonl", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [r["time"] for r in lines(tmp_path / "out" / "in.jsonl")] == [0, 0.1, 0.2, 0.3]


def test_pictures_that_a_shell_named_are_one_video(
    photo_path: Path, tmp_path: Path, called: Called
) -> None:
    """`frames/*.png`, expanded or not, is a video called frames, in natural order."""
    photo = cv2.resize(cv2.imread(str(photo_path)), (256, 256))
    (tmp_path / "frames").mkdir()
    for index in (1, 2, 10):
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), photo[: 256 - index])
    files = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "frames").iterdir())
    for out, sources in (("expanded", files), ("quoted", ["frames/*.png"])):
        done = called(
            *("predict", *sources, "--track", "--save", "jsonl", "--threads", 1, "--out", out), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert [p.name for p in (tmp_path / out).iterdir()] == ["frames.jsonl"]
        heights = [row["image_size"][1] for row in lines(tmp_path / out / "frames.jsonl")]
        assert heights == [255, 254, 246]


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("v/a.mp4", "v/notes.txt", "p/1.jpg", "p/a.heic", "p/b.HEIC", "p/c.txt", "p/.hidden")
    for name in (*names, "q/c.AVIF", "r/a", "r/b.txt", "r/c.md", "r/d.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    assert left_out(["p", "q"], False) == "p: left out: 3 files that are no pictures (.heic, .txt)"
    assert left_out(["v/*"], False) == "v/*: left out: 1 file that is no video (.txt)"
    assert left_out(["r"], False).endswith("4 files that are no pictures (no suffix, .csv, .md, ...)")
    assert left_out(["p/*", "q", "p/1.jpg", "0", "nowhere"], False) == ""
    assert "3 files" in left_out(["p/*"], True)
    assert split_sources(["q/c.AVIF", "p/a.heic"], False) == ([], ["q/c.AVIF", "p/a.heic"])


def test_what_sources_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("v/a.mp4", "v/b.MOV", "v/notes.txt", "p/1.jpg", "p/2.jpg", "m/c.mkv", "m/3.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    both = (["v/a.mp4", "v/b.MOV"], [])
    assert split_sources(["v"], False) == split_sources(["v"], True) == both
    assert split_sources(["v/*"], False) == split_sources(["**/*.[mM][pO]*"], False) == both
    assert split_sources(["p", "p/*.jpg"], False) == ([], ["p", "p/*.jpg"])
    assert split_sources(["p"], True) == (["p"], [])
    assert split_sources(["p/1.jpg", "p/2.jpg"], True) == ([("p/1.jpg", "p/2.jpg")], [])
    assert split_sources(["p/1.jpg"], True) == (["p/1.jpg"], [])
    for source in ("m", "m/*"):
        with pytest.raises(InputError, match="pictures and videos together"):
            split_sources([source], False)
    names = {
        **{"-": "stdin", "0": "camera0", "rtsp://host:8554/live?x=1": "host_8554_live_x_1"},
        **{"HTTPS://host/a/b.mp4?token=secret": "host_a_b.mp4", "http://host/" + "a" * 300: "a" * 100},
        **{"v/a.mp4": "a", "p": "p", "p/*.jpg": "p", "*/*.jpg": tmp_path.name, "p/**/*.jpg": "p"},
        **{("p/1.jpg", "p/2.jpg"): "p", ("p/1.jpg", "m/3.png"): tmp_path.name, ".": tmp_path.name},
    }
    assert {source: name_of(source) for source in names} == names
    assert split_sources(["RTSP://host/a"], False) == (["RTSP://host/a"], [])
    Path("2024").mkdir()
    shutil.copy("p/1.jpg", "2024")
    assert split_sources(["2024", "2025"], False) == (["2025"], ["2024"])
    for source, why in (("a" * 300, "File name too long"), ("a\0b", "null")):
        with pytest.raises(InputError, match=f"cannot be read .*{why}"):
            split_sources([source], False)


def test_what_other_systems_say_to_a_pattern_and_to_two_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows: a name with * is a wrong argument, and C: and D: have no folder in common."""
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"x")
    stat = os.stat

    def windows(path: object, *rest: object, **options: object) -> os.stat_result:
        if "*" in str(path):
            error = OSError(errno.EINVAL, "The filename or directory name syntax is incorrect")
            error.winerror = 123  # pathlib takes this one for "no such file"
            raise error
        return stat(path, *rest, **options)  # type: ignore[arg-type]

    def apart(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os, "stat", windows)
    assert split_sources(["*.mp4"], False) == (["a.mp4"], [])
    monkeypatch.setattr(os.path, "commonpath", apart)
    with pytest.raises(InputError, match=r"several drives \(C:, D:\)"):
        common_folder([PureWindowsPath("D:/b.jpg"), PureWindowsPath("C:/a.jpg")])  # type: ignore[list-item]


def test_names_that_a_pipe_cannot_say_and_that_look_like_addresses(clip: Path, tmp_path: Path) -> None:
    name = "Фото-10:30.mp4"
    (tmp_path / name).write_bytes(clip.read_bytes())
    command = [BIN / "rtmpose", "predict", name, "--end", "0.1", "--save", "jsonl", "--threads", "1"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )
    assert done.returncode == 0, done.stderr
    assert b"????-10:30: 2 frames" in done.stdout
    assert len(lines(tmp_path / "out" / "Фото-10:30.jsonl")) == 2


def test_a_folder_of_videos(clip: Path, tmp_path: Path, called: Called) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in" / name).write_bytes(clip.read_bytes())
    done = called("predict", "in", "--end", 0.2, "--save", "jsonl", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [len(lines(tmp_path / "out" / f"{name}.jsonl")) for name in "ab"] == [4, 4]
