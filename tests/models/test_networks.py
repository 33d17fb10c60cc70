"""Networks against stored outputs of the reference implementation, published shapes, the paper's counts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional

from rtmpose_sdk.errors import CheckpointError, InputError, ModelNotFoundError
from rtmpose_sdk.models import NAMES, build_model, count, identify, load_state_dict
from rtmpose_sdk.models.cspnext import SPP

SHAPE_LISTS = (
    "rtmdet-m_person_640x640",
    "rtmdet-nano_person_320x320",
    "rtmpose-l_coco17_256x192",
    "rtmpose-l_coco17_384x288",
    "rtmpose-l_halpe26_256x192",
    "rtmpose-l_wholebody133_256x192",
    "rtmpose-m_ap10k17_256x256",
    "rtmpose-m_coco17_256x192",
    "rtmpose-m_coco17_384x288",
    "rtmpose-m_halpe26_256x192",
    "rtmpose-m_hand21_256x256",
    "rtmpose-m_lapa106_256x256",
    "rtmpose-m_wholebody133_256x192",
    "rtmpose-s_coco17_256x192",
    "rtmpose-s_halpe26_256x192",
    "rtmpose-s_lapa106_256x256",
    "rtmpose-s_wholebody133_256x192",
    "rtmpose-t_coco17_256x192",
    "rtmpose-t_halpe26_256x192",
    "rtmpose-t_lapa106_256x256",
    "rtmpose-t_wholebody133_256x192",
    "rtmpose-x_coco17_384x288",
    "rtmw-m_wholebody133_256x192",
)
SETS = {"wholebody133": "coco_wholebody133", "person": None}
NO_MEMORY = torch.device("meta")
"""Networks have shapes there, and no values: building them takes no time."""


def _parts(stem: str) -> tuple[str, str | None, tuple[int, int]]:
    name, keypoints, size = stem.split("_")
    height, width = map(int, size.split("x"))
    return name, SETS.get(keypoints, keypoints), (width, height)


def _golden_module(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden", shared / "golden" / "weights.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _golden_state(shared: Path, stem: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((shared / "golden" / f"{stem}.shapes.json").read_text())
    values = _golden_module(shared).golden_state_dict(shapes)
    return {name: torch.from_numpy(np.asarray(value)) for name, value in values.items()}


def test_every_shape_list_is_tested(shared: Path) -> None:
    files = {p.name.removesuffix(".shapes.json") for p in (shared / "golden").glob("*.shapes.json")}
    assert files == set(SHAPE_LISTS)


@pytest.mark.parametrize("stem", SHAPE_LISTS)
def test_parameters_are_those_of_the_published_network(shared: Path, stem: str) -> None:
    name, keypoints, size = _parts(stem)
    shapes = json.loads((shared / "golden" / f"{stem}.shapes.json").read_text())
    with NO_MEMORY:
        model = build_model(name, keypoint_set=keypoints, input_size=size)
        state = {k: torch.zeros(v) for k, v in shapes.items()}
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == shapes
    load_state_dict(model, state, stem)


@pytest.mark.parametrize("stem", SHAPE_LISTS)
def test_identify_reads_the_network_from_its_shapes(shared: Path, stem: str) -> None:
    name, keypoints, size = _parts(stem)
    shapes = json.loads((shared / "golden" / f"{stem}.shapes.json").read_text())
    with NO_MEMORY:
        found = identify({k: torch.empty(v) for k, v in shapes.items()})
        model = build_model(name, keypoint_set=keypoints, input_size=size)
    assert found.name == name
    if keypoints is not None:
        assert found.input_size == size
        assert found.keypoints == model.keypoints


@pytest.mark.parametrize(
    "stem", ["rtmpose-t_coco17_256x192", "rtmpose-s_halpe26_256x192", "rtmdet-nano_person_320x320"]
)
def test_outputs_equal_the_reference_implementation(shared: Path, stem: str) -> None:
    name, keypoints, (width, height) = _parts(stem)
    model = build_model(name, keypoint_set=keypoints, input_size=(width, height)).eval()
    load_state_dict(model, _golden_state(shared, stem), stem)
    image = torch.from_numpy(_golden_module(shared).golden_input((1, 3, height, width)))
    with torch.no_grad():
        outputs = model(image)
    names = (
        ("simcc_x", "simcc_y")
        if keypoints
        else ("cls_8", "cls_16", "cls_32", "bbox_8", "bbox_16", "bbox_32")
    )
    stored = np.load(shared / "golden" / f"{stem}.npz")
    for output_name, output in zip(names, outputs, strict=True):
        want = stored[output_name]
        assert np.abs(output.numpy() - want).max() <= 1e-4 * np.abs(want).max(), output_name


def test_the_pyramid_pools_windows_of_5_9_and_13() -> None:
    pyramid = SPP(8).eval()
    seen: list[torch.Tensor] = []
    pyramid.conv2.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.randn(2, 8, 20, 17, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pyramid(image)
        x = pyramid.conv1(image)
        pooled = [functional.max_pool2d(x, k, stride=1, padding=k // 2) for k in (5, 9, 13)]
    assert torch.equal(seen[0], torch.cat([x, *pooled], dim=1))


@pytest.mark.parametrize(
    ("name", "keypoint_set", "size", "millions", "giga"),
    [
        ("rtmpose-t", "coco17", (192, 256), 3.34, 0.36),  # Tables 4, 8, 10
        ("rtmpose-s", "coco17", (192, 256), 5.47, 0.68),
        ("rtmpose-m", "coco17", (192, 256), 13.59, 1.93),
        ("rtmpose-l", "coco17", (192, 256), 27.66, 4.16),
        ("rtmpose-m", "coco_wholebody133", (192, 256), None, 2.22),  # Table 8
        ("rtmpose-l", "coco_wholebody133", (192, 256), None, 4.52),
        ("rtmpose-l", "coco_wholebody133", (288, 384), None, 10.07),
        ("rtmpose-x", "coco_wholebody133", (288, 384), None, 18.1),  # Table 5
        ("rtmpose-m", "ap10k17", (256, 256), None, 2.57),  # Table 6
        ("rtmdet-nano", None, (320, 320), 0.99, 0.31),  # Table 11
    ],
)
def test_counts_are_the_papers(
    name: str,
    keypoint_set: str | None,
    size: tuple[int, int],
    millions: float | None,
    giga: float,
) -> None:
    with NO_MEMORY:
        found = count(build_model(name, keypoint_set=keypoint_set, input_size=size))
    # The paper's tables round in places and cut off in others: 2.226 stands as 2.2 and as 2.22.
    assert abs(found.multiply_adds / 1e9 - giga) < 0.01
    if millions is not None:
        assert round(found.parameters / 1e6, 2) == millions


def test_counting_leaves_the_model_as_it_was() -> None:
    model = build_model("rtmpose-t", keypoint_set="coco17").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert count(model) == count(model)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_levels_of_larger_detectors_share_convolutions() -> None:
    state = build_model("rtmdet-tiny").bbox_head.state_dict()
    first, last = state["cls_convs.0.1.conv.weight"], state["cls_convs.2.1.conv.weight"]
    assert first.data_ptr() == last.data_ptr()
    nano = build_model("rtmdet-nano").bbox_head.state_dict()
    name = "cls_convs.{}.0.pointwise_conv.conv.weight"
    assert nano[name.format(0)].data_ptr() != nano[name.format(2)].data_ptr()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_builds_and_runs(name: str) -> None:
    keypoint_set = None if name.startswith("rtmdet") else "coco17"
    with NO_MEMORY:
        model = build_model(name, keypoint_set=keypoint_set, input_size=(64, 96)).eval()
    device = torch.device("meta" if name.endswith(("-l", "-x")) else "cpu")
    model.to_empty(device=device)  # whatever is in the memory: shapes are looked at
    with torch.no_grad():
        outputs = model(torch.zeros(2, 3, 96, 64, device=device))
    if keypoint_set:
        assert [tuple(o.shape) for o in outputs] == [(2, 17, 128), (2, 17, 192)]
    else:
        assert [tuple(o.shape[1:]) for o in outputs] == [
            *((1, 96 // s, 64 // s) for s in (8, 16, 32)),
            *((4, 96 // s, 64 // s) for s in (8, 16, 32)),
        ]


def test_wrong_requests_say_what_is_expected() -> None:
    with pytest.raises(ModelNotFoundError, match=r"rtmpose-xl.*rtmpose-t"):
        build_model("rtmpose-xl", keypoint_set="coco17")
    with pytest.raises(InputError, match="multiples of 32"):
        build_model("rtmpose-t", keypoint_set="coco17", input_size=(190, 256))
    with pytest.raises(InputError, match=r"unknown keypoint set 'coco18'.*coco17"):
        build_model("rtmpose-t", keypoint_set="coco18")
    with pytest.raises(InputError, match="keypoint_set="):
        build_model("rtmpose-t")
    with pytest.raises(InputError, match="detector"):
        build_model("rtmdet-nano", keypoint_set="coco17")


@pytest.mark.parametrize(
    ("name", "exponential"),
    [
        ("rtmdet-nano", False),
        ("rtmdet-tiny", False),
        ("rtmdet-s", False),
        ("rtmdet-m", True),
        ("rtmdet-l", True),
        ("rtmdet-x", True),
    ],
)
def test_distances_are_exponentials_in_the_larger_detectors(name: str, exponential: bool) -> None:
    """exp_on_reg of the published configs; shapes cannot tell it, and boxes are wrong without it."""
    with NO_MEMORY:
        head = build_model(name).bbox_head.eval()
    head.to_empty(device="cpu")
    for value in head.state_dict().values():
        torch.nn.init.zeros_(value)
    for level in head.rtm_reg:
        torch.nn.init.zeros_(level.weight)
        torch.nn.init.constant_(level.bias, 0.5)
    channels = head.rtm_reg[0].in_channels
    with torch.no_grad():
        *_, d8, d16, d32 = head(tuple(torch.zeros(1, channels, 2, 2) for _ in range(3)))
    one = np.exp(0.5) if exponential else 0.5
    for stride, distances in ((8, d8), (16, d16), (32, d32)):
        np.testing.assert_allclose(distances.numpy(), one * stride, rtol=1e-6)


def test_the_last_of_shared_convolutions_counts() -> None:
    state = dict(build_model("rtmdet-tiny").state_dict())
    for level in range(3):
        name = f"bbox_head.cls_convs.{level}.0.conv.weight"
        state[name] = torch.full_like(state[name], float(level))
    model = build_model("rtmdet-tiny")
    load_state_dict(model, state, "test")
    assert model.state_dict()["bbox_head.cls_convs.0.0.conv.weight"].unique().tolist() == [2.0]


def test_rtmw_tokens_are_coarse_then_fine_features() -> None:
    """Order and activation of RTMW's two branches (MMPose's RTMWHead); shapes cannot tell them."""
    torch.manual_seed(0)
    head = build_model("rtmw-m", keypoint_set=17, input_size=(64, 96)).head.eval()
    p4, p5 = torch.randn(1, 384, 6, 4), torch.randn(1, 768, 3, 2)
    tokens: list[torch.Tensor] = []
    head.gau.register_forward_pre_hook(lambda _module, inputs: tokens.append(inputs[0]))

    def block(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(layer.bn(torch.nn.functional.conv2d(x, layer.conv.weight, padding=3)))

    with torch.no_grad():
        head((torch.zeros(1), p4, p5))
        fine = torch.nn.functional.pixel_shuffle(p5, 2)
        joined = torch.cat([block(head.conv_dec, fine), p4], dim=1)
        want = torch.cat(
            [
                head.mlp(block(head.final_layer, p5).flatten(2)),
                head.mlp2(block(head.final_layer2, joined).flatten(2)),
            ],
            dim=2,
        )
    torch.testing.assert_close(tokens[0], want)


@pytest.mark.parametrize(
    ("size", "input_size", "giga"),
    [
        ("m", (192, 256), 4.3),
        ("l", (192, 256), 7.9),
        ("x", (192, 256), 13.1),
        ("l", (288, 384), 17.7),
        ("x", (288, 384), 29.3),
    ],
)
def test_rtmw_counts_are_the_published_ones(size: str, input_size: tuple[int, int], giga: float) -> None:
    """MMPose's RTMPose page, Cocktail14; fixes the neck's blocks, which only rtmw-m's list shows."""
    with NO_MEMORY:
        found = count(build_model(f"rtmw-{size}", keypoint_set=133, input_size=input_size))
    assert round(found.multiply_adds / 1e9, 1) == giga


@pytest.mark.parametrize(
    ("name", "millions"),
    [("rtmdet-s", 8.89), ("rtmdet-m", 24.71), ("rtmdet-l", 52.3), ("rtmdet-x", 94.86)],
)
def test_detector_parameters_are_the_published_ones(name: str, millions: float) -> None:
    """MMDetection's RTMDet table, which counts 80 classes: 79 more per level than ours."""
    with NO_MEMORY:
        model = build_model(name)
    channels = model.bbox_head.rtm_cls[0].in_channels
    parameters = sum(p.numel() for p in model.parameters()) + 79 * (channels + 1) * 3
    assert abs(parameters / 1e6 - millions) < 0.03


@pytest.mark.parametrize("keypoints", [0, -3, True])
def test_a_number_of_keypoints_is_positive(keypoints: int) -> None:
    with pytest.raises(InputError, match="1 or more"):
        build_model("rtmpose-t", keypoint_set=keypoints)


def test_a_size_of_floats_is_refused() -> None:
    with pytest.raises(InputError, match="multiples of 32"):
        build_model("rtmpose-t", keypoint_set=17, input_size=(192.0, 256.0))


def test_identify_names_only_networks_that_can_be_built() -> None:
    state = dict(build_model("rtmpose-t", keypoint_set=17).state_dict())
    state["backbone.stem.0.conv.weight"] = torch.zeros(8, 3, 3, 3)
    with pytest.raises(CheckpointError, match="size nano"):
        identify(state)
