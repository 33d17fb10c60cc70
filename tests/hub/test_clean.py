"""Which files of the cache `rtmpose models clean NAME` deletes, and which it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpose_sdk.cli.models import clean
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.hub.table import find_published

HASH = "ad77e141c866"
FILES = (
    "files/fp32-4e2acd58.onnx",
    "files/fp32-4e2acd58.onnx.json",
    "files/fp32-wide-0123abcd.onnx",
    "files/mine.onnx",
    f"converted/mine-{HASH}-v1.onnx",
    f"converted/mine-halpe26-{HASH}-v1.onnx",
    f"unpacked/net-0123abcd-{HASH}/end2end.onnx",
)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RTMPOSE_HOME", str(tmp_path))
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def deleted(home: Path) -> set[str]:
    return {name for name in FILES if not (home / name).exists()}


@pytest.mark.parametrize("name", ["", " ", ".", "/"])
def test_no_name_is_not_every_name(cached: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a name; `rtmpose models list --cached`"):
        clean([name])
    assert not deleted(cached)


@pytest.mark.parametrize(
    "name", ["f", "fp", "fp32-4", "fp32-4e2acd58.pth", "min", "mine.pth.onnx", "halpe26"]
)
def test_a_beginning_is_not_a_name(cached: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"not in .*rtmpose models list --cached"):
        clean([name])
    assert not deleted(cached)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("fp32", (0, 1)),
        ("fp32.onnx", (0, 1)),
        ("fp32-4e2acd58.onnx", (0, 1)),
        ("fp32-4e2acd58", (0, 1)),
        ("mine", (3, 4)),
        ("mine.onnx", (3, 4)),
        ("some/mine.pth", (4,)),
        (f"mine-halpe26-{HASH}-v1.onnx", (5,)),
        ("net", (6,)),
        ("net.zip", (6,)),
    ],
)
def test_a_whole_name_is(cached: Path, name: str, files: tuple[int, ...]) -> None:
    clean([name])
    assert deleted(cached) == {FILES[i] for i in files}


def test_published_names_and_what_is_unfinished(cached: Path) -> None:
    published = find_published("rtmpose-t")
    assert published is not None
    stem = Path(published.files[0].name).stem
    for name in (f"{stem}.zip", f"{stem}.zip.part", "mine.onnx.part"):
        (cached / "files" / name).touch()
    clean(["rtmpose-t"])
    assert not list((cached / "files").glob(f"{stem}*"))
    clean(["mine.onnx"])
    assert not list((cached / "files").glob("mine*"))
