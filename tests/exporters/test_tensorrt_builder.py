"""What TensorRT itself (not for RTX) is told; its libraries cannot be installed here, so by a stand-in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from rtmpose_sdk.errors import EngineError, ModelFileError
from rtmpose_sdk.exporters import tensorrt as exporter
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.tensorrt import write_tensorrt

CARD = new_card("rtmpose-t", (192, 256), "coco17")
GRAPH = onnx.helper.make_model(
    onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 4, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3, 4, 4])],
    )
)


class FakeBuilder:
    """Writes down what it is told; the engine is those words."""

    def __init__(self, version: str, flags: dict[str, int]) -> None:
        self.__version__ = version
        self.told: list[Any] = []
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**flags)
        self.BuilderFlag = SimpleNamespace(TF32="TF32")
        self.ILogger = type(
            "ILogger",
            (),
            {"Severity": SimpleNamespace(ERROR=1, INTERNAL_ERROR=0), "__init__": lambda s: None},
        )
        self.good_cache = self.builds = True

    def Builder(self, logger: Any) -> Any:  # noqa: N802 - the engine's name
        def create_network(flags: int) -> Any:
            self.told.append(("flags", flags))
            tensor = SimpleNamespace(name="x", shape=(-1, 3, 4, 4))
            return SimpleNamespace(name="", get_input=lambda i: tensor)

        def profile() -> Any:
            return SimpleNamespace(set_shape=lambda *shapes: self.told.append(("profile", *shapes)))

        def build(network: Any, config: Any) -> bytes | None:
            if not self.builds:
                logger.log(1, "no kernel for\n this")
            return b"ftrt engine" if self.builds else None

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=lambda: self,
            create_optimization_profile=profile,
            build_serialized_network=build,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        return SimpleNamespace(parse=lambda data: data == GRAPH.SerializeToString())

    def clear_flag(self, flag: str) -> None:
        self.told.append(("clear", flag))

    def add_optimization_profile(self, profile: Any) -> int:
        return 0

    def create_timing_cache(self, data: bytes) -> Any:
        self.told.append(("cache", data))
        return data

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return self.good_cache

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: b"times")


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> FakeBuilder:
    fake = FakeBuilder("10.13.3.9", {"STRONGLY_TYPED": 1})
    monkeypatch.setattr(exporter, "load_tensorrt", lambda flavour, why: fake)
    return fake


def _build(tmp_path: Path, **arguments: Any) -> None:
    path = tmp_path / "t.engine"
    write_tensorrt(GRAPH, CARD, path, flavour="tensorrt", batch=(1, 4, 16), **arguments)


def test_tensorrt_10_is_told_to_be_strict(trt: FakeBuilder, tmp_path: Path) -> None:
    _build(tmp_path)
    shapes = [(n, 3, 4, 4) for n in (1, 4, 16)]
    assert trt.told == [("flags", 2), ("clear", "TF32"), ("profile", "x", *shapes)]
    assert (tmp_path / "t.engine").read_bytes() == b"ftrt engine"


def test_an_engine_whose_flag_is_gone_is_strict_by_itself(
    trt: FakeBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "NetworkDefinitionCreationFlag", SimpleNamespace())
    _build(tmp_path)
    assert trt.told[0] == ("flags", 0)


def test_the_timing_cache_is_read_and_written(trt: FakeBuilder, tmp_path: Path) -> None:
    cache = tmp_path / "t.cache"
    _build(tmp_path, timing_cache=cache)
    _build(tmp_path, timing_cache=cache)
    assert [said for said in trt.told if said[0] == "cache"] == [("cache", b""), ("cache", b"times")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.cache", "t.engine", "t.engine.card.json"]
    trt.good_cache = False
    with pytest.raises(ModelFileError, match=r"t\.cache: not a timing cache of TensorRT 10\.13\.3\.9"):
        _build(tmp_path, timing_cache=cache)


def test_a_build_that_fails_leaves_nothing(trt: FakeBuilder, tmp_path: Path) -> None:
    trt.builds = False
    with pytest.raises(
        EngineError, match=r"TensorRT 10\.13\.3\.9 cannot build this network: no kernel for this"
    ):
        _build(tmp_path, timing_cache=tmp_path / "t.cache")
    assert not list(tmp_path.iterdir())
