"""OpenVINO: what was asked for is what runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

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
    (tmp_path / "cut.bin").write_bytes(network.with_suffix(".bin").read_bytes())
    with pytest.raises(ModelFileError, match=r"cut\.xml: OpenVINO cannot open it"):
        open_runtime(tmp_path / "cut.xml")


def test_precisions_that_the_processor_lacks_are_refused(network: Path) -> None:
    """bf16 runs where the processor has it, and is an error elsewhere: never fp32 in its place."""
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in ("bf16", "fp16"):
        if precision.upper() in able:
            with open_runtime(network, precision=precision) as runtime:
                assert runtime.precision == precision
        else:
            with pytest.raises(DeviceError, match=f"'{precision}' was asked for, but OpenVINO on cpu"):
                open_runtime(network, precision=precision)


def test_a_precision_that_openvino_changes_is_named(own: Path) -> None:
    """Even where none was asked for."""
    with open_runtime(own, threads=1, engine="openvino") as runtime:
        used = SimpleNamespace(to_string=lambda: "bf16")
        compiled = SimpleNamespace(get_property=lambda _: used)
        runtime._core = SimpleNamespace(compile_model=lambda *_: compiled)
        with pytest.raises(DeviceError, match=r"'fp32' was asked for, but OpenVINO runs .* in bf16"):
            runtime.run(np.zeros((2, 256, 192, 3), np.uint8))


def test_weights_that_are_missing_or_cut(network: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model.xml"
    copy.write_bytes(network.read_bytes())
    with pytest.raises(ModelFileError, match=r"model\.bin is missing beside it"):
        open_runtime(copy)
    copy.with_suffix(".bin").write_bytes(network.with_suffix(".bin").read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="OpenVINO cannot open it"):
        open_runtime(copy)


@pytest.fixture(scope="module")
def own() -> Path:
    from rtmpose_sdk.zoo import DEFAULT_POSE, find_model

    return find_model(DEFAULT_POSE)


def test_onnx_is_read_directly_with_its_card(own: Path, photo: np.ndarray) -> None:
    from rtmpose_sdk import Predictor

    box = np.array([[100, 20, 420, 500]], np.float32)
    with Predictor(own, threads=1) as one, Predictor(own, threads=1, engine="openvino") as other:
        assert other.runtime.engine.startswith("openvino")
        assert other.card == one.card
        assert (other.runtime.precision, other.runtime.arithmetic) == (None, "fp32")
        assert ", cpu, 1 threads, fp32: image" in repr(other.runtime)
        a, b = one(photo, box), other(photo, box)
    np.testing.assert_allclose(a.keypoint_scores, b.keypoint_scores, atol=1e-3)
    assert np.median(np.abs(a.keypoints - b.keypoints)) < 0.5
    with pytest.raises(InputError, match=r"'torch' does not read .*; expected onnxruntime"):
        open_runtime(own, engine="torch")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 17])
def test_any_batch_is_put_together_of_those_that_are_compiled(own: Path, count: int) -> None:
    images = np.random.default_rng(count).integers(0, 255, (count, 256, 192, 3), np.uint8)
    with open_runtime(own, threads=1, engine="openvino") as runtime:
        assert runtime.inputs[0].shape[0] is None
        together = runtime.run(images)
        assert together[0].shape == (count, 17, 384)
        for i in {0, count // 2, count - 1}:
            alone = runtime.run(images[i : i + 1])
            for a, b in zip(together, alone, strict=True):
                np.testing.assert_allclose(a[i], b[0], atol=1e-4)


def test_a_quantised_network_says_so(tmp_path: Path) -> None:
    scale, zero = (
        numpy_helper.from_array(np.array(v), n) for v, n in ((np.float32(0.1), "s"), (np.uint8(9), "z"))
    )
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, 8, 8])
        for name, channels in (("x", 3), ("y", 4))
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [scale, zero, weight])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(tmp_path / "q.onnx"))
    with open_runtime(tmp_path / "q.onnx", threads=1, engine="openvino") as runtime:
        assert runtime.arithmetic == "int8, the rest fp32"
