"""OpenVINO: what was asked for is what runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk.errors import DeviceError, InputError, ModelFileError
from rtmpose_sdk.runtimes import open_runtime

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def network(shared: Path) -> Path:
    return shared / "weights" / "tinypose" / "128_96" / "model.xml"


def test_it_runs_and_says_what_it_is(network: Path) -> None:
    with open_runtime(network, threads=1) as runtime:
        assert runtime.engine.startswith("openvino 20")
        assert runtime.inputs[0].shape == (1, 3, 128, 96)
        assert runtime.outputs[0].shape == (1, 17, 32, 24)
        rng = np.random.default_rng(0)
        first = rng.normal(size=(1, 3, 128, 96)).astype(np.float32)
        kept = runtime.run(first)[0]
        copy = kept.copy()
        runtime.run(first * 0)
        assert np.array_equal(kept, copy)  # the next run does not write into what was given out
        with pytest.raises(InputError, match="takes image"):
            runtime.run(first.astype(np.float64))


def test_devices_and_precisions_that_are_not_there(network: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="unknown device 'cuda'"):
        open_runtime(network, device="cuda")
    with pytest.raises(DeviceError, match=r"'gpu:7' is not there for OpenVINO; it has .*CPU"):
        open_runtime(network, device="gpu:7")
    with pytest.raises(DeviceError, match="in precision 'int4'"):
        open_runtime(network, precision="int4")
    (tmp_path / "cut.xml").write_bytes(network.read_bytes()[:3000])
    with pytest.raises(ModelFileError, match=r"cut\.xml: OpenVINO cannot open it"):
        open_runtime(tmp_path / "cut.xml")
