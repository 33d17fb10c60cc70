"""What several tests need: the shared data (skipped where it is absent), the photograph, fresh weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.locks import try_lock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Torch's threads do not spin while they wait: as many processes as cores test side by side."""
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Of `make test &` in a script: the commands under test would inherit it, and never hear of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
Once = Callable[[str, Callable[[Path], object]], Path]
SHARED = Path(__file__).resolve().parents[2] / "shared"
DATA = Path(str(resources.files("rtmpose_sdk"))) / "data"


def pytest_report_header() -> str:
    return f"shared data: {'found' if SHARED.is_dir() else 'ABSENT, its tests are skipped'}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the shared reference data is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """once(name, make) → a folder that make(folder) has filled: once in a run, by the first process.

    For what costs much and only is read, such as exports. Another process waits for it.
    """
    of_process = tmp_path_factory.getbasetemp()
    root = (of_process if worker_id == "master" else of_process.parent) / "once"

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = root / name, root / f"{name}.whole"
        folder.mkdir(parents=True, exist_ok=True)
        with (root / f"{name}.lock").open("ab") as file:
            while not try_lock(file):
                time.sleep(0.1)
            if not whole.exists():
                make(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen]]:
    """`subprocess.Popen`, whose processes do not outlive the test."""
    running: list[subprocess.Popen] = []

    def start(*arguments: object, **named: object) -> subprocess.Popen:
        running.append(subprocess.Popen(*arguments, **named))  # type: ignore[call-overload]
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def photo_path() -> Path:
    return DATA / "astronaut.jpg"


@pytest.fixture(scope="session")
def photo(photo_path: Path) -> np.ndarray:
    image = cv2.imread(str(photo_path))
    assert image is not None
    return image


@pytest.fixture(scope="session")
def resized(once: Once) -> Path:
    """The bundled detector for pictures of 320x320."""
    pytest.importorskip("torch")
    from rtmpose_sdk.exporters.resize import export_resized

    file = DATA / "rtmdet-nano-own.onnx"
    return once("resized", lambda folder: export_resized(file, (320, 320), folder / "d.onnx")) / "d.onnx"


@pytest.fixture(scope="session")
def detector_folder(shared: Path) -> Path:
    return shared / "weights" / "rtmdet-nano"


@pytest.fixture(scope="session")
def own_checkpoint(shared: Path) -> Path:
    return shared / "weights" / "rtmpose-t-own" / "rtmpose-t-own.pth"


@pytest.fixture(scope="session")
def coco(shared: Path) -> dict:
    """coco_val_dev's annotations with `folder` (pictures) and `file` (the json) added."""
    folder = shared / "data" / "coco_val_dev"
    file = folder / "person_keypoints_val_dev.json"
    content = json.loads(file.read_text())
    return {**content, "folder": folder / "images", "file": file}


@pytest.fixture(scope="session")
def coco_persons(coco: dict) -> list[tuple[Path, np.ndarray]]:
    """Pictures with the boxes (N,4) xyxy px of their persons with keypoints."""
    boxes: dict[int, list[list[float]]] = {}
    for row in coco["annotations"]:
        x, y, w, h = row["bbox"]
        if row["num_keypoints"] and not row["iscrowd"]:
            boxes.setdefault(row["image_id"], []).append([x, y, x + w, y + h])
    return [
        (coco["folder"] / row["file_name"], np.array(boxes[row["id"]], np.float32))
        for row in coco["images"]
        if row["id"] in boxes
    ]


@pytest.fixture(scope="session")
def tinypose(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PP-TinyPose, an OpenVINO file of another project, with a card of ours beside it."""
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("tinypose")
    for name in ("model.xml", "model.bin"):
        shutil.copyfile(shared / "weights" / "tinypose" / "256_192" / name, folder / name)
    card = ModelCard(
        "tinypose",
        "pose",
        (192, 256),
        "heatmap",
        "rgb",
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
        "nchw",
        "float32",
        keypoint_set="coco17",
    )
    (folder / "model.xml.card.json").write_text(card.to_json())
    return folder / "model.xml"
