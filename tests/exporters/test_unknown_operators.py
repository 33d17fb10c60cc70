"""An operator that an engine or a converter does not know is named, in an error of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtmpose_sdk.errors import EngineError, InputError
from rtmpose_sdk.exporters.end2end_export import read_part
from rtmpose_sdk.exporters.half import half_graph
from rtmpose_sdk.exporters.int8 import Int8Quantizer
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.onnx import save_onnx
from rtmpose_sdk.exporters.openvino import write_openvino
from rtmpose_sdk.exporters.subject import Subject

CARD = new_card("rtmpose-t", (192, 256), "coco17", input_kind="tensor")


def _graph(kind: str, domain: str = "", opset: int = 18) -> onnx.ModelProto:
    """The operator, and a convolution behind it."""
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node(kind, ["x"], ["y"], "the_culprit", domain=domain),
        helper.make_node("Conv", ["y", "w"], ["z"], "the_layer"),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, 256, 192])
        for name, channels in (("x", 3), ("z", 4))
    ]
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("kind", "domain", "name"), [("Bernoulli", "", "Bernoulli-18"), ("Mine", "private", r"private\.Mine")]
)
def test_openvino(tmp_path: Path, kind: str, domain: str, name: str) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(EngineError, match=rf"OpenVINO 20\S+ does not take the graph: .*{name}"):
        write_openvino(_graph(kind, domain), CARD, tmp_path / "m.xml")
    assert not list(tmp_path.iterdir())


def test_int8() -> None:
    with pytest.raises(EngineError, match=r"the graph of rtmpose-t: private:Mine.*not a registered"):
        Int8Quantizer(_graph("Mine", "private"), CARD, np.zeros((2, 256, 192, 3), np.uint8))


def test_nncf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nncf = pytest.importorskip("nncf")

    def quantize(*_: object, **__: object) -> None:
        raise RuntimeError("no rule\nfor Mine")

    monkeypatch.setattr(nncf, "quantize", quantize)
    crops = np.zeros((2, 256, 192, 3), np.uint8)
    with pytest.raises(EngineError, match=r"NNCF \S+ cannot quantise rtmpose-t .*: no rule for Mine"):
        write_openvino(_graph("Relu"), CARD, tmp_path / "m.xml", precision="int8", calibration=crops)
    assert not list(tmp_path.iterdir())


def test_half_precision() -> None:
    graph = _graph("Transpose")
    graph.graph.node[0].attribute.append(helper.make_attribute("perm", [0, 7]))
    with pytest.raises(InputError, match=r"cannot be written in half precision: .*the_culprit"):
        half_graph(graph)


def test_a_file_of_an_old_operator_set(tmp_path: Path) -> None:
    onnx.save(_graph("Mine", opset=11), str(tmp_path / "m.onnx"))
    with pytest.raises(
        EngineError, match=r"m\.onnx: its operator set 11 cannot be converted to 18: .*Mine"
    ):
        _ = Subject(CARD, file=tmp_path / "m.onnx").graph


def test_a_file_of_a_later_operator_set(tmp_path: Path) -> None:
    save_onnx(_graph("Gelu", opset=20), CARD, tmp_path / "m.onnx")
    with pytest.raises(
        EngineError, match=r"m\.onnx: its operator set 20 cannot be converted to 18: .*Gelu"
    ):
        read_part(tmp_path / "m.onnx", half=False)
