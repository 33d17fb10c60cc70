"""From an exported file back to a network: the same answers, or an error."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from onnx import numpy_helper  # noqa: E402
from torch import nn  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from rtmpose_sdk import Detector, read_image  # noqa: E402
from rtmpose_sdk.artifacts import artifact_card  # noqa: E402
from rtmpose_sdk.boxes import iou  # noqa: E402
from rtmpose_sdk.errors import CheckpointError  # noqa: E402
from rtmpose_sdk.exporters.cli import app  # noqa: E402
from rtmpose_sdk.exporters.export import export  # noqa: E402
from rtmpose_sdk.exporters.new_card import new_card  # noqa: E402
from rtmpose_sdk.exporters.subject import Subject  # noqa: E402
from rtmpose_sdk.exporters.thaw import network_from_artifact  # noqa: E402
from rtmpose_sdk.models import build_model  # noqa: E402
from rtmpose_sdk.training.initialize import initialize, load_what_fits  # noqa: E402

DATA = Path(str(resources.files("rtmpose_sdk"))) / "data"


def _trained(name: str, **options: object) -> nn.Module:
    """A network whose normalisations have statistics of their own, as after training."""
    network = build_model(name, **options)  # type: ignore[call-overload]
    initialize(network, 3)
    generator = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        if parameter.ndim == 1:  # equal ones would become one initializer
            parameter.data += torch.empty_like(parameter).uniform_(0, 0.1, generator=generator)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.7, 1.3),
                (module.bias.data, -0.3, 0.3),
            ):
                tensor.uniform_(low, high, generator=generator)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "keypoints", "size"),
    [("rtmpose-t", "coco17", (96, 128)), ("rtmpose-t", "coco17", (64, 64)), ("rtmdet-nano", "", (64, 96))],
)
def test_a_network_comes_back(name: str, keypoints: str, size: tuple[int, int], tmp_path: Path) -> None:
    options = {"input_size": size} | ({"keypoint_set": keypoints} if keypoints else {})
    network = _trained(name, **options)
    file = tmp_path / "n.onnx"
    export(Subject(new_card(name, size, keypoints), network), file, None)
    back = network_from_artifact(file)
    x = torch.randn(2, 3, size[1], size[0])
    with torch.no_grad():
        for want, have in zip(network(x), back(x), strict=True):
            assert float((want - have).abs().max()) < 1e-4 * float(want.abs().max())
    assert set(back.state_dict()) == set(network.state_dict())


def test_the_bundled_weights_go_to_torch_and_into_training(tmp_path: Path) -> None:
    out = tmp_path / "t.pt2"
    done = CliRunner().invoke(app, ["--backend", "torch", "--weights", "rtmpose-t-own", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert artifact_card(out).verification["verified"] is True
    student = build_model("rtmpose-t", keypoint_set=5, input_size=(64, 64))
    loaded = load_what_fits(student, DATA / "rtmpose-t-own.onnx")
    assert all(name in loaded.loaded for name in student.state_dict() if name.startswith("backbone."))
    assert "head.cls_x.weight" in loaded.other_shape


def test_a_detector_for_another_size_finds_the_same_people(photo_path: Path, resized: Path) -> None:
    picture = read_image(photo_path)
    with Detector("rtmdet-nano-own", threads=1) as bundled, Detector(resized, threads=1) as other:
        assert other.card.input_size == (320, 320) != bundled.card.input_size
        want, have = bundled(picture), other(picture)
    assert iou(want.boxes[:1], have.boxes[:1])[0, 0] > 0.8


def test_what_gives_no_network(tmp_path: Path, detector_folder: Path) -> None:
    model = onnx.load(str(DATA / "rtmpose-t-own.onnx"))
    for value in model.graph.initializer:
        if value.name == "scale":  # of the normalisation: no weight, but another answer
            value.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(value) * np.float32(1.1), "scale"))
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(CheckpointError, match="gives another simcc_x"):
        network_from_artifact(tmp_path / "other.onnx")
    for value in model.graph.initializer:
        value.name = value.name.replace("stage3", "stage9")
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = name.replace("stage3", "stage9")
        for i, name in enumerate(node.output):
            node.output[i] = name.replace("stage3", "stage9")
    onnx.save(model, str(tmp_path / "renamed.onnx"))
    with pytest.raises(CheckpointError, match=r"lacks \d+ tensors of rtmpose-t \(backbone.stage3"):
        network_from_artifact(tmp_path / "renamed.onnx")
    card = artifact_card(detector_folder)
    with pytest.raises(CheckpointError, match="decoder mmdeploy_dets; expected an fp32 ONNX file"):
        network_from_artifact(detector_folder / "end2end.onnx", card)
