"""The programs of docs/embed.md, as they are printed there, find what the Pipeline finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk import Pipeline, read_image
from rtmpose_sdk.exporters.end2end_export import export_end2end, read_part
from rtmpose_sdk.results import PoseResult

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "rtmpose_sdk" / "data" / "astronaut.jpg"
NUMBER = re.compile(r"\d+\.\d+")


def program(language: str) -> str:
    """The first code block of that language."""
    found = re.search(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / "embed.md").read_text(), re.M | re.S)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embed")
    export_end2end(
        "pipeline",
        folder / "pipeline.onnx",
        pose=read_part("rtmpose-t-own", False),
        detector=read_part("rtmdet-nano-own", False),
        detection_threshold=0.3,
    )
    shutil.copy(PHOTO, folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def want() -> PoseResult:
    with Pipeline() as pipeline:
        return pipeline(read_image(PHOTO))


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_python(folder: Path, want: PoseResult) -> None:
    (folder / "pose.py").write_text(program("python"))
    printed = run(sys.executable, "pose.py", cwd=folder)
    assert printed.startswith(f"({len(want)}, 17, 2)")
    np.testing.assert_allclose([float(n) for n in NUMBER.findall(printed)], want.box_scores, atol=1e-4)


def test_cpp_is_the_program_that_is_built() -> None:
    comment, source = (ROOT / "examples" / "cpp" / "src" / "minimal.cpp").read_text().split("\n", 1)
    assert comment.startswith("//")
    assert program("cpp") == source


@pytest.mark.skipif("RTMPOSE_TEST_WEB" not in os.environ, reason="needs node and npm: make test-web")
def test_node(folder: Path, want: PoseResult) -> None:
    packages = ("onnxruntime-node@1.30.0", "sharp@0.35.5")
    run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages, cwd=folder)
    (folder / "pose.mjs").write_text(program("js"))
    printed = run("node", "pose.mjs", cwd=folder)
    shape, scores = printed.split("]", 1)
    assert [int(n) for n in re.findall(r"\d+", shape)] == [len(want), 17, 2]
    # JPEG decoders differ by a grey level.
    np.testing.assert_allclose([float(n) for n in NUMBER.findall(scores)], want.box_scores, atol=0.02)
