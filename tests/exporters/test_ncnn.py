"""ncnn artifacts, made by the real pnnx and run by the real ncnn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")

from rtmpose_sdk import Detector, Predictor
from rtmpose_sdk.artifacts import read_card
from rtmpose_sdk.errors import DeviceError, InputError, MissingExtraError, ModelFileError, OutputError
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.half_range import with_half_range
from rtmpose_sdk.exporters.ncnn import write_ncnn
from rtmpose_sdk.exporters.ncnn_param import parse_param
from rtmpose_sdk.exporters.network import open_network
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.exporters.verify import torch_reference, verify
from rtmpose_sdk.models import build_model
from rtmpose_sdk.runtimes import open_runtime

CARD = new_card("rtmpose-t", (192, 256), "coco17")


@pytest.fixture(scope="session")
def network(own_checkpoint: Path) -> nn.Module:
    return open_network(own_checkpoint)[0]


@pytest.fixture(scope="session")
def folder(network: nn.Module, once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    def make(folder: Path) -> None:
        write_ncnn(network, CARD, folder / "full.param", precision="fp32")
        write_ncnn(network, CARD, folder / "half.param")

    return once("ncnn", make)


@pytest.fixture(scope="module")
def crops(coco: dict) -> np.ndarray:
    return verification_images(CARD, coco["folder"], coco["file"], 40)


@pytest.mark.parametrize(
    ("name", "precision", "tolerances"),
    [("full", None, "fp32"), ("half", None, "fp16-storage"), ("half", "bf16", "bf16")],
)
def test_keypoints_are_pytorchs(
    folder: Path, network: nn.Module, crops: np.ndarray, name: str, precision: str | None, tolerances: str
) -> None:
    with open_runtime(folder / f"{name}.param", threads=1, precision=precision) as runtime:
        assert runtime.precision == (precision or "fp32")
        card = read_card(runtime)
        assert (card.input_layout, card.input_dtype) == ("nchw", "float32")
        assert card.precision == ("fp32" if name == "full" else "fp16")
        found = verify(torch_reference(network, card), runtime, card, crops[:20], precision=tolerances)
    assert found.verified, found


def test_fp16_halves_the_file_and_only_whole_artifacts_are_left(folder: Path) -> None:
    full, half = (folder / f"{name}.bin" for name in ("full", "half"))
    assert half.stat().st_size < 0.51 * full.stat().st_size
    expected = {f"{n}.{s}" for n in ("full", "half") for s in ("param", "bin", "param.card.json")}
    assert {file.name for file in folder.iterdir()} == expected


def test_int8_of_real_crops(network: nn.Module, crops: np.ndarray, tmp_path: Path) -> None:
    write_ncnn(network, CARD, tmp_path / "t.param", precision="int8", calibration=crops[:16])
    layers = parse_param((tmp_path / "t.param").read_text())
    with open_runtime(tmp_path / "t.param", threads=1) as runtime:
        assert runtime.precision == "int8"
        card = read_card(runtime)
        found = verify(torch_reference(network, card), runtime, card, crops[20:], precision="int8")
    in_int8 = {layer.name for layer in layers if layer.parameters.get("8") == "2"}
    assert in_int8.isdisjoint(card.float_layers)
    assert len(in_int8) > 20
    assert found.not_finite == 0
    assert found.median_shift <= 1.0
    assert max(found.largest_difference.values()) > 1e-3  # it is int8
    with pytest.raises(DeviceError, match=r"'fp32' was asked for, but t\.param has int8 layers"):
        open_runtime(tmp_path / "t.param", precision="fp32")
    assert {f.name for f in tmp_path.iterdir()} == {"t.param", "t.bin", "t.param.card.json"}


def test_rtmw_and_rtmdet(photo: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name, size, points in (
        ("rtmw-m", (96, 128), "coco_wholebody133"),
        ("rtmdet-nano", (160, 160), ""),
    ):
        network = build_model(name, input_size=size, **({"keypoint_set": points} if points else {}))
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=1.4 / parameter[0].numel() ** 0.5)
        card = new_card(name, size, points)
        write_ncnn(network.eval(), card, tmp_path / f"{name}.param", precision="fp32")
        images = verification_images(card, None, None, 2)[:2]
        with open_runtime(tmp_path / f"{name}.param", threads=1) as runtime:
            card = read_card(runtime)
            want = torch_reference(network, card)(images)
            from rtmpose_sdk.normalize import Normalizer

            found = runtime.run(Normalizer(card)(images))
            for spec, values in zip(runtime.outputs, found, strict=True):
                expected = np.concatenate([batch[spec.name] for batch in want])
                assert values.shape == expected.shape
                np.testing.assert_allclose(values, expected, atol=2e-4 * np.abs(expected).max())
    assert Detector(tmp_path / "rtmdet-nano.param", threads=1)(photo).boxes.shape[1] == 4


def test_half_range_changes_nothing_in_fp32_and_keeps_fp16_finite(network: nn.Module) -> None:
    loud = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in (loud.head.final_layer.weight, loud.head.final_layer.bias):
            tensor *= 4096
        loud.head.gau.gamma *= 64  # squares of 4096^2 times as much: 65504 is far behind
        loud.head.gau.o.weight /= 64.0**4
    image = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = network.features(image)
        head = with_half_range(loud).head
        for want, have in zip(loud.head(features), head(features), strict=True):
            torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-5)
        half = tuple(feature.half() for feature in features)
        assert not torch.isfinite(copy.deepcopy(loud).half().head(half)[0]).all()
        assert torch.isfinite(head.half()(half)[0]).all()


def test_batches_and_threads(folder: Path) -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(5, 3, 256, 192)).astype(np.float32)
    with (
        open_runtime(folder / "full.param", threads=1) as one,
        open_runtime(folder / "full.param", threads=2) as two,
    ):
        want = [one.run(array[i : i + 1]) for i in range(5)]
        for runtime in (one, two):
            found = runtime.run(array)
            for k in range(2):
                np.testing.assert_allclose(found[k], np.concatenate([w[k] for w in want]), atol=1e-5)
        assert [v.shape for v in one.run(array[:0])] == [(0, 17, 384), (0, 17, 512)]
    with Predictor(folder / "full.param", threads=1) as predictor:
        assert predictor(np.zeros((300, 300, 3), np.uint8), [[0, 0, 200, 200]]).keypoints.shape == (
            1,
            17,
            2,
        )


def test_ncnn_has_nothing_to_say(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It prints a line for each layer that runs on other threads than it was loaded for."""
    with open_runtime(folder / "full.param", threads=2) as runtime:
        for count in (1, 2, 3):
            runtime.run(np.zeros((count, 3, 256, 192), np.float32))
    assert capfd.readouterr().err == ""


def test_a_precision_that_the_processor_lacks(folder: Path) -> None:
    import ncnn

    if ncnn.cpu_support_arm_asimdhp():
        pytest.skip("this processor has fp16")
    with pytest.raises(DeviceError, match=r"'fp16' was asked for.*outputs are the very same"):
        open_runtime(folder / "half.param", precision="fp16")
    with pytest.raises(DeviceError, match="no int8 layers"):
        open_runtime(folder / "half.param", precision="int8")


def test_broken_files(folder: Path, tmp_path: Path) -> None:
    param, weights = (folder / f"full.{kind}" for kind in ("param", "bin"))
    text, data = param.read_text(), weights.read_bytes()
    broken = tmp_path / "b.param"

    def fails(match: str, param_text: str, content: bytes | None = data) -> None:
        broken.write_text(param_text)
        broken.with_suffix(".bin").unlink(missing_ok=True)
        if content is not None:
            broken.with_suffix(".bin").write_bytes(content)
        with pytest.raises(ModelFileError, match=match):
            open_runtime(broken, threads=1)

    fails(r"b\.bin is missing beside it", text, None)
    fails(r"b\.bin: ncnn .* cannot read it", text, data[: len(data) // 2])
    fails(r"not a whole ncnn \.param", text[: len(text) // 2])
    fails(r"first line is not 7767517", "hello\n" + text)
    fails(r"not a whole ncnn \.param", "")
    fails(r"has no layer Sinus", text.replace("Swish ", "Sinus ", 1))
    fails(r"add 0=WIDTH 1=HEIGHT 2=3", text.replace("0=192 1=256 2=3", "", 1))


class _Unknown(nn.Module):
    task = "pose"

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = x[:, 0, :17, :17].sort(dim=-1).values
        return flat, flat * 2


def test_what_cannot_be_exported(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.param"
    with pytest.raises(InputError, match=r"operators that ncnn does not have: .*sort"):
        write_ncnn(_Unknown(), CARD, path)
    with pytest.raises(InputError, match=r"ends in \.param"):
        write_ncnn(network, CARD, tmp_path / "t.ncnn")
    with pytest.raises(InputError, match="calibrated on real crops"):
        write_ncnn(network, CARD, path, precision="int8")
    with pytest.raises(InputError, match="--nms"):
        write_ncnn(network, new_card("rtmdet-nano", (320, 320), nms=True), path)
    with pytest.raises(OutputError, match="folder does not exist"):
        write_ncnn(network, CARD, tmp_path / "none" / "t.param")
    monkeypatch.setitem(__import__("sys").modules, "pnnx", None)
    with pytest.raises(MissingExtraError, match=r"rtmpose-sdk\[ncnn\]"):
        write_ncnn(network, CARD, path)
    assert not list(tmp_path.iterdir())
