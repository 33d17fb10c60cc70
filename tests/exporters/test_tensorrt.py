"""Engines built for real by TensorRT for RTX, for GPUs that are not here; and every refusal."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from torch import nn
from typer.testing import CliRunner

from rtmpose_sdk.card import CARD_KEY, ModelCard
from rtmpose_sdk.errors import (
    DeviceError,
    EngineError,
    InputError,
    MissingExtraError,
    OutputError,
)
from rtmpose_sdk.exporters import engine_builds
from rtmpose_sdk.exporters import tensorrt as exporter
from rtmpose_sdk.exporters.batch_profile import parse_batch
from rtmpose_sdk.exporters.cli import app
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.tensorrt import builder_graph, write_tensorrt
from rtmpose_sdk.runtimes.engine_file import read_engine_header
from rtmpose_sdk.runtimes.tensorrt_module import installed_flavours, load_tensorrt, message_logger
from rtmpose_sdk.zoo import find_model

rtx = pytest.mark.skipif(
    "tensorrt-rtx" not in installed_flavours(), reason="tensorrt-rtx is not installed (no wheel here?)"
)


def _bundled(name: str) -> tuple[onnx.ModelProto, ModelCard]:
    model = onnx.load(str(find_model(name)))
    entries = {entry.key: entry.value for entry in model.metadata_props}
    return model, ModelCard.from_json(entries[CARD_KEY], name)


@pytest.fixture(scope="module")
def pose() -> tuple[onnx.ModelProto, ModelCard]:
    model, card = _bundled("rtmpose-t-own")
    return half_graph(model), card


@rtx
@pytest.mark.parametrize(
    ("name", "targets"),
    [("rtmpose-t-own", ("sm75",)), ("rtmpose-t-own", ("sm86", "sm120")), ("rtmdet-nano-own", ("sm75",))],
)
def test_engines_are_built_ahead_of_time(tmp_path: Path, name: str, targets: tuple[str, ...]) -> None:
    model, card = _bundled(name)
    path = tmp_path / "n.engine"
    write_tensorrt(half_graph(model), card, path, batch=(1, 4, 16), targets=targets)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n.engine", "n.engine.card.json"]
    weights = sum(len(t.raw_data) for t in half_graph(model).graph.initializer)
    assert path.stat().st_size > 0.8 * weights
    trt = load_tensorrt("tensorrt-rtx", "test")
    assert read_engine_header(path) == ("tensorrt-rtx", trt.__version__)
    content = json.loads((tmp_path / "n.engine.card.json").read_text())
    assert content["notes"].endswith(
        f"batch 1:4:16 for {' '.join(targets)}, TensorRT for RTX {trt.__version__}, rtmpose-sdk 0.1.0."
    )
    again = ModelCard.from_json(json.dumps(content), "beside")
    assert again.name == card.name


@rtx
@pytest.mark.every_model
@pytest.mark.parametrize("name", ["rtmpose-s", "rtmpose-m", "rtmpose-l"])
def test_the_larger_networks_are_built(tmp_path: Path, name: str) -> None:
    """For Turing, which has the fewest kernels: no fp32 matrix products."""
    ((_, megabytes),) = engine_builds.measure(name, ["sm75"], "1:1:8", tmp_path)
    weights = sum(p.numel() for p in engine_builds._random(name)[0].parameters())
    assert megabytes * 1e6 > 0.8 * 2 * weights
    assert read_engine_header(tmp_path / f"{name}.engine").flavour == "tensorrt-rtx"


@rtx
def test_an_engine_for_another_gpu_is_another_engine(
    pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path
) -> None:
    graph, card = pose
    for target in ("sm75", "sm89"):
        write_tensorrt(graph, card, tmp_path / f"{target}.engine", targets=(target,))
    first, second = ((tmp_path / f"{t}.engine").read_bytes() for t in ("sm75", "sm89"))
    assert first != second


@rtx
def test_the_profile_is_in_the_engine(pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path) -> None:
    """It cannot be asked without a GPU; another profile is another engine."""
    graph, card = pose
    write_tensorrt(graph, card, tmp_path / "a.engine", batch=(1, 1, 2), targets=("sm86",))
    write_tensorrt(graph, card, tmp_path / "b.engine", batch=(1, 1, 64), targets=("sm86",))
    a, b = ((tmp_path / f"{name}.engine").read_bytes() for name in "ab")
    assert a != b
    assert b"batch 1:1:64" in b


@rtx
def test_a_profile_that_no_engine_holds(pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"RTX [\d.]+ refuses the profile 1:1:999999999999: "):
        write_tensorrt(
            _one_operator("Relu"),
            pose[1],
            tmp_path / "t.engine",
            batch=(1, 1, 999999999999),
            targets=("sm86",),
        )


@rtx
def test_full_precision_on_turing_says_what_to_do(tmp_path: Path) -> None:
    """The reason why the mixed graph has convolutions where it means products."""
    model, card = _bundled("rtmpose-t-own")
    with pytest.raises(EngineError, match=r"FP32 GEMM is not supported.*sm75: no fp32.*export in fp16"):
        write_tensorrt(model, card, tmp_path / "t.engine", targets=("sm75",))
    assert not list(tmp_path.iterdir())


def _one_operator(kind: str, domain: str = "") -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], "the_culprit", domain=domain)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 8, 8])],
    )
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@rtx
@pytest.mark.parametrize(("kind", "domain"), [("Bernoulli", ""), ("BiasGelu", "com.microsoft")])
def test_an_unsupported_operator_is_named(
    pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path, kind: str, domain: str
) -> None:
    with pytest.raises(EngineError, match=rf"RTX [\d.]+ does not take the graph: {kind} 'the_culprit'"):
        write_tensorrt(_one_operator(kind, domain), pose[1], tmp_path / "t.engine", targets=("sm86",))
    assert not list(tmp_path.iterdir())


@rtx
def test_a_fixed_batch(pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(_one_operator("Relu"))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    write_tensorrt(graph, pose[1], tmp_path / "t.engine", batch=(2, 2, 2), targets=("sm86",))
    with pytest.raises(InputError, match="fixed batch of 2; expected --batch 2"):
        write_tensorrt(graph, pose[1], tmp_path / "u.engine", targets=("sm86",))


@rtx
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": ("sm86", "sm99")}, r"target 'sm99' is not one of sm75, sm80, .*sm120"),
        ({"batch": (4, 2, 8), "targets": ("sm86",)}, r"batch 4:2:8 is not in order; expected 1 <= MIN"),
        ({"batch": (0, 1, 8), "targets": ("sm86",)}, "batch 0:1:8 is not in order"),
        (
            {"targets": ("sm86",), "flavour": "tensorrt"},
            r"sm86: TensorRT builds for the GPU of this machine",
        ),
        (
            {"flavour": "tensorrt-rtx", "timing_cache": Path("t.cache")},
            "t.cache: TensorRT for RTX times nothing",
        ),
    ],
)
def test_options_that_make_no_sense(
    pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path, arguments: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_tensorrt(pose[0], pose[1], tmp_path / "t.engine", **arguments)
    assert not list(tmp_path.iterdir())


def test_nms_stays_outside(tmp_path: Path) -> None:
    model, card = _bundled("rtmdet-nano-own")
    for decoder in ("boxes_nms", "mmdeploy_dets"):
        card = ModelCard(**{**card.__dict__, "decoder": decoder})
        with pytest.raises(InputError, match=r"built without NMS in the graph.*\(\.pth\) without --nms"):
            write_tensorrt(model, card, tmp_path / "d.engine", targets=("sm86",))


@rtx
def test_the_table_of_builds(
    pose: tuple[onnx.ModelProto, ModelCard],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine_builds, "_random", lambda name: (nn.Identity(), pose[1]))
    monkeypatch.setattr(engine_builds, "build_onnx", lambda network, card: onnx.ModelProto())
    monkeypatch.setattr(engine_builds, "half_graph", lambda graph: pose[0])
    engine_builds.main(["rtmpose-t"], ["sm75", "sm86"], "1:2:4")
    row = next(line for line in capsys.readouterr().out.splitlines() if "rtmpose-t" in line)
    assert re.fullmatch(r"│ rtmpose-t +(│ \d+\.\d\d \(1\d\.\d\) ){2}│", row.strip())


def test_other_file_names_are_refused(pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.engine"):
        write_tensorrt(pose[0], pose[1], tmp_path / "t.plan")


@rtx
def test_a_folder_that_cannot_be_written(pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_tensorrt(_one_operator("Relu"), pose[1], tmp_path / "file" / "t.engine", targets=("sm86",))


def test_missing_wheels_say_what_to_install(
    pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rtmpose_sdk.runtimes import tensorrt_module

    monkeypatch.setattr(tensorrt_module, "_is_there", lambda name: False)
    for arguments, extra in (({"targets": ("sm86",)}, "tensorrt-rtx"), ({}, "tensorrt")):
        with pytest.raises(MissingExtraError, match=rf"pip install 'rtmpose-sdk\[{extra}\]'"):
            write_tensorrt(pose[0], pose[1], tmp_path / "t.engine", **arguments)


def test_two_flavours_and_nothing_said(
    pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "installed_flavours", lambda: ("tensorrt", "tensorrt-rtx"))
    with pytest.raises(InputError, match=r"both installed, and their.*--flavour tensorrt or tensorrt-rtx"):
        write_tensorrt(pose[0], pose[1], tmp_path / "t.engine")


def test_the_option_says_which_flavour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the command line to the builder, where both are installed."""
    asked: list[str] = []

    def load(flavour: str, why: str) -> None:
        asked.append(flavour)
        raise MissingExtraError(flavour, flavour, why)

    monkeypatch.setattr(exporter, "installed_flavours", lambda: ("tensorrt", "tensorrt-rtx"))
    monkeypatch.setattr(exporter, "load_tensorrt", load)
    command = ["--weights", str(find_model("rtmpose-t-own")), "--out", str(tmp_path / "t.engine")]
    command += ["--backend", "tensorrt", "--no-verify"]
    for more in (["--flavour", "tensorrt"], ["--flavour", "tensorrt-rtx"], ["--target", "sm86"]):
        done = CliRunner().invoke(app, [*command, *more])
        assert isinstance(done.exception, MissingExtraError), done.exception
    assert asked == ["tensorrt", "tensorrt-rtx", "tensorrt-rtx"]
    assert not list(tmp_path.iterdir())


def test_a_package_whose_libraries_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EngineError, match=r"'tensorrt' is installed but does not load: libnvinfer"):
        load_tensorrt("tensorrt", "Building an engine")


def test_tensorrt_without_a_gpu(
    pose: tuple[onnx.ModelProto, ModelCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its builder is a null pointer then, which pybind11 makes a TypeError."""

    class FakeLogger:
        class Severity:
            ERROR, INTERNAL_ERROR = 1, 0

    class FakeTensorRt:
        __version__ = "10.13.3.9"
        ILogger = FakeLogger

        @staticmethod
        def Builder(logger: object) -> None:  # noqa: N802 - the engine's name
            logger.log(1, "CUDA initialization failure with error: 35 (cudaError)")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    FakeLogger.__init__ = lambda self: None
    monkeypatch.setattr(exporter, "load_tensorrt", lambda flavour, why: FakeTensorRt)
    message_logger(FakeTensorRt)[1].append("said of an engine before")
    with pytest.raises(DeviceError, match=r"TensorRT 10\.13\.3\.9 cannot start: CUDA initialization.*sm86"):
        write_tensorrt(pose[0], pose[1], tmp_path / "t.engine", flavour="tensorrt")


def test_the_graph_that_is_built_is_the_one_that_can_be_verified(photo: np.ndarray) -> None:
    """A uint8 picture is cast before it is transposed, which changes nothing."""
    model, card = _bundled("rtmpose-t-own")
    moved = builder_graph(model, card)
    kinds = [node.op_type for node in moved.graph.node if node.op_type in ("Cast", "Transpose")]
    assert kinds.index("Transpose") > 0
    first = next(node for node in moved.graph.node if "image" in node.input)
    assert first.op_type == "Cast"
    onnx.checker.check_model(moved, full_check=True)
    image = np.ascontiguousarray(photo[None, 100:356, 100:292])
    results = [
        onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"image": image})
        for m in (model, moved)
    ]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert builder_graph(moved, card).graph == moved.graph


@pytest.mark.parametrize(
    ("text", "batch"), [("1:4:16", (1, 4, 16)), ("8", (8, 8, 8)), (" 1:2:2", (1, 2, 2))]
)
def test_profiles_are_read(text: str, batch: tuple[int, int, int]) -> None:
    assert parse_batch(text) == batch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1:2", "'1:2' is not MIN:OPT:MAX"),
        ("", "'' is not MIN:OPT:MAX"),
        ("1:x:3", "'1:x:3' is not MIN:OPT:MAX"),
        ("1:-2:3", "is not MIN:OPT:MAX"),
        ("4:2:8", "4:2:8 is not in order"),
        ("0:1:2", "not in order"),
    ],
)
def test_profiles_that_are_none(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_batch(text)
