"""Every block of docs/python.md runs as it is printed there, after the first one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
NEEDS = {
    **{"clip.mp4": "av", "PIL": "PIL", "import torch": "torch"},
    **{"to_dataframe": "pandas", "to_supervision": "supervision"},
}
"""What stands in a block, and the package that it takes."""


@pytest.fixture(scope="module")
def folder(photo_path: Path, photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "pictures").mkdir()
    for place in ("photo.jpg", "pictures/1.jpg", "pictures/2.jpg"):
        shutil.copy(photo_path, folder / place)
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (512, 512))
    for _ in range(4):
        clip.write(photo)
    clip.release()
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[dict[str, Any]]:
    """What the first block leaves."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(BLOCKS[0], names)
    yield names
    names["pipeline"].close()


@pytest.mark.parametrize("code", BLOCKS[1:], ids=lambda code: code.splitlines()[0])
def test_a_block_runs(
    code: str, first: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sign, package in NEEDS.items():
        if sign in code:
            pytest.importorskip(package)
    monkeypatch.chdir(folder)
    if "__main__" in code:
        (folder / "program.py").write_text(code, "utf-8")
        done = subprocess.run(
            [sys.executable, "program.py"], capture_output=True, text=True, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr[-2000:]
        persons = len(first["result"])
        assert done.stdout == f"[{persons}, {persons}]\n"
        return
    exec(code, dict(first))


def test_what_the_blocks_say_is_so(first: dict[str, Any], folder: Path, photo: np.ndarray) -> None:
    """Shapes and values that stand in their comments."""
    result = first["result"]
    assert result.keypoints.shape == (len(result), 17, 2)
    np.testing.assert_array_equal(first["image"], photo)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)

        def after(sign: str) -> dict[str, Any]:
            names = dict(first)
            exec(next(code for code in BLOCKS if sign in code), names)
            return names

        picked = after("best =")
        assert (len(picked["best"]), picked["noses"].shape) == (1, (len(result), 2))
        assert list(after("pictures_in")["found"]) == ["1.jpg", "2.jpg"]
        many = after(".many(")["results"]
        np.testing.assert_allclose(many[0].keypoints, result.keypoints, atol=1e-2)
        assert len(after("def frames")["people"]) == 1
        assert [len(each) for each in after("ThreadPool")["results"]] == [len(result)] * 2
        assert len(after("asyncio")["content"]["persons"]) == len(result)
        np.testing.assert_allclose(after("from_dict")["again"].keypoints, result.keypoints, atol=0.006)
        assert (after("red =")["drawn"] == (0, 0, 255)).all(axis=2).any()
        assert all(crop.size for crop in after("crops =")["crops"])
        converted = after("openpose25")["converted"]
        assert converted.keypoint_set.names[19] == "left_big_toe"
        assert not converted.confidences[:, 19].any()
