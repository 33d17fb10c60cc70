"""Archives: nothing lands outside, nothing explodes, and damaged ones leave nothing behind."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

from rtmpose_sdk.errors import ArchiveError, OutputError
from rtmpose_sdk.hub import unpack
from rtmpose_sdk.hub.unpack import model_inside, unpacked


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RTMPOSE_SHARED", raising=False)


def archive(tmp_path: Path, members: dict[str, bytes], mode: int = 0o100644) -> Path:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, content)
    return path


def nothing_left(tmp_path: Path) -> bool:
    outside = {p.name for p in tmp_path.iterdir()} - {"model.zip", "home"}
    return not outside and not list((tmp_path / "home").glob("unpacked/*"))


def test_a_good_archive_is_unpacked_once(tmp_path: Path) -> None:
    path = archive(tmp_path, {"a/deploy.json": b"{}", "a/b/net.onnx": b"\x08" * 5000})
    folder = unpacked(path)
    assert (folder / "a" / "b" / "net.onnx").read_bytes() == b"\x08" * 5000
    assert model_inside(folder) == folder / "a"
    before = folder.stat().st_mtime_ns
    assert unpacked(path) == folder
    assert folder.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt", "a/.."]
)
def test_members_that_would_land_outside(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path, {"good.onnx": b"x", name: b"evil"})
    with pytest.raises(ArchiveError, match="would land outside"):
        unpacked(path)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    "name", ["a/what?.png", "a|b.onnx", 'say "x".txt', "folder./net.onnx", "net.onnx ", "CON", "a/nul.txt"]
)
def test_names_that_windows_does_not_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = archive(tmp_path, {"deploy.json": b"{}", "console/con-v1.0.onnx": b"x", name: b"x"})
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_WINDOWS", True)
        with pytest.raises(ArchiveError, match=f"'{re.escape(name)}' has a name that Windows does not"):
            unpacked(path)
    assert nothing_left(tmp_path)
    assert (unpacked(path) / name).is_file()


def test_names_that_are_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        unpacked(archive(tmp_path, {"n" * 300: b"x"}))

    def lost(*_: object) -> int:
        error = FileNotFoundError(2, "The system cannot find the path specified")
        error.winerror = 3  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(unpack, "_copy", lost)
    with pytest.raises(OutputError, match="only with its long paths switched on; or set RTMPOSE_HOME"):
        unpacked(archive(tmp_path, {f"{'n' * 200}/net.onnx": b"x"}))
    with pytest.raises(OutputError, match="cannot find the path"):
        unpacked(archive(tmp_path, {"net.onnx": b"x"}))
    assert nothing_left(tmp_path)


def test_links_and_devices(tmp_path: Path) -> None:
    for mode in (0o120777, 0o020666, 0o010644):
        path = archive(tmp_path, {"link": b"/etc/passwd"}, mode)
        with pytest.raises(ArchiveError, match="link or device"):
            unpacked(path)
    assert nothing_left(tmp_path)


def test_a_bomb_is_told_by_its_list(tmp_path: Path) -> None:
    path = archive(tmp_path, {"zeros.onnx": bytes(80_000_000)})
    with pytest.raises(ArchiveError, match="archive bomb"):
        unpacked(path)
    with pytest.raises(ArchiveError, match="holds 1001 files"):
        unpacked(archive(tmp_path, {f"{i}.txt": b"x" for i in range(1001)}))
    assert nothing_left(tmp_path)


def test_a_member_of_ten_gigabytes(tmp_path: Path) -> None:
    """Its size stands in the list; not one byte of it is written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("big.onnx", b"x" * 1000)
        made.filelist[0].file_size = made.filelist[0].compress_size = 10 << 30
    path = tmp_path / "model.zip"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ArchiveError, match=f"would become {10 << 30}"):
        unpacked(path)
    assert nothing_left(tmp_path)


def test_a_member_that_is_larger_than_it_says(tmp_path: Path) -> None:
    path = archive(tmp_path, {"net.onnx": bytes(100_000)})
    data = path.read_bytes()
    said = (100_000).to_bytes(4, "little")
    path.write_bytes(data.replace(said, (1000).to_bytes(4, "little")))
    with pytest.raises(ArchiveError):
        unpacked(path)
    assert nothing_left(tmp_path)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="two of its members"):
        unpacked(archive(tmp_path, {"a/x": b"1", "a//x": b"2"}))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_damaged_archives(tmp_path: Path, damage: str) -> None:
    path = archive(tmp_path, {"net.onnx": bytes(range(256)) * 100})
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[60] ^= 0xFF
    else:
        data = bytearray(b"not an archive")
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged or not a zip archive"):
        unpacked(path)
    assert nothing_left(tmp_path)


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path, {"net.onnx": b"x" * 1000})

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_copy", full)
        with pytest.raises(OutputError, match="the disk is full"):
            unpacked(path)
    assert nothing_left(tmp_path)
    assert (unpacked(path) / "net.onnx").is_file()


def test_archives_without_or_with_several_models(tmp_path: Path) -> None:
    folder = tmp_path / "u"
    folder.mkdir()
    (folder / "readme.txt").write_text("")
    with pytest.raises(ArchiveError, match=r"holds neither; it has readme\.txt"):
        model_inside(folder)
    (folder / "a.onnx").write_text("")
    assert model_inside(folder) == folder / "a.onnx"
    (folder / "b.onnx").write_text("")
    with pytest.raises(ArchiveError, match=r"holds 2 of them \(a\.onnx, b\.onnx\)"):
        model_inside(folder)
