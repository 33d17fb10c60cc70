"""ncnn through Vulkan, on the device that is there: RTMPose and RTMDet answer as on the processor."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

if "RTMPOSE_TEST_VULKAN" not in os.environ:
    pytest.skip("needs a Vulkan driver: make test-vulkan", allow_module_level=True)

import ncnn

from rtmpose_sdk import Pipeline
from rtmpose_sdk.artifacts import read_card
from rtmpose_sdk.errors import DeviceError
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.export import export
from rtmpose_sdk.exporters.settings import ExportSettings
from rtmpose_sdk.exporters.subject import subject_from_artifact
from rtmpose_sdk.exporters.verify import verify
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE, find_model

CROPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert ncnn.get_gpu_count() > 0, "ncnn finds no Vulkan device"
    folder = tmp_path_factory.mktemp("vulkan")
    for name, file in ((DEFAULT_POSE, "pose.param"), (DEFAULT_DETECTOR, "detector.param")):
        export(
            subject_from_artifact(find_model(name)),
            folder / file,
            None,
            settings=ExportSettings("ncnn", "fp32"),
        )
    return folder


@pytest.mark.parametrize("precision", ["fp32", "fp16-storage", "fp16"])
def test_keypoints_are_those_of_the_exported_model(folder: Path, precision: str) -> None:
    subject = subject_from_artifact(find_model(DEFAULT_POSE))
    tolerances = None if precision == "fp32" else precision
    with (
        subject.reference() as reference,
        open_runtime(folder / "pose.param", "vulkan", threads=1, precision=tolerances) as runtime,
    ):
        assert (str(runtime.device), runtime.precision) == ("vulkan:0", precision)
        card = read_card(runtime)
        crops = verification_images(card, None, None, CROPS)[:CROPS]
        found = verify(reference, runtime, card, crops, precision=precision)
    print(f"ncnn {precision}: worst {found.worst_shift:.2f} px, {found.ties} ties aside")  # noqa: T201
    assert found.crops == CROPS
    assert found.verified, found


def test_a_pipeline_of_both_networks_sees_what_the_processor_sees(folder: Path, photo: np.ndarray) -> None:
    results = []
    for device in ("cpu", "vulkan"):
        files = (folder / "pose.param", folder / "detector.param")
        with Pipeline(*files, device, threads=1, detection_threshold=0.5) as pipeline:
            results.append(pipeline(photo))
    want, have = results
    assert len(want.boxes) == len(have.boxes) == 1
    np.testing.assert_allclose(have.boxes, want.boxes, atol=0.1)
    sure = want.confidences > 0.3
    assert sure.sum() >= 10
    np.testing.assert_allclose(have.keypoints[sure], want.keypoints[sure], atol=1.0)


def test_a_device_that_is_not_there(folder: Path) -> None:
    with pytest.raises(DeviceError, match="'vulkan:9' is not there for ncnn; it finds"):
        open_runtime(folder / "pose.param", "vulkan:9")
