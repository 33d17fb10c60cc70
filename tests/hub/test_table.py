"""Every published model has a name, a complete card, and the address that was published."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rtmpose_sdk.errors import InputError, ModelNotFoundError
from rtmpose_sdk.hub.table import PRESETS, find_published, published_models
from rtmpose_sdk.zoo import find_model, models_meant, name_published

ROWS = published_models()


def test_all_that_was_published_is_in_the_table(shared: Path) -> None:
    facts = json.loads((shared / "facts" / "published_models.json").read_text())
    addresses = {url for row in facts for url in row["urls"]}
    ours = {file.url: row for row in ROWS for file in row.files}
    assert len(facts) == 75
    assert not addresses - set(ours)
    for fact in facts:
        if fact["section"][0] == "Pipeline Performance":
            continue
        row = ours[fact["urls"][0]]
        height, width = map(int, fact["Input Size"].split("x"))
        if row.network not in ("yolox-nano", "yolox-tiny"):  # those archives take 416
            assert row.input_size == (width, height)
        for column, value in fact.items():
            if "AP" in column and re.fullmatch(r"[\d.]+", value):
                # The page's second table of pre-training has AP (COCO) there, not the first one's AP (GT).
                name = "AP (COCO)" if fact["section"][-2:] == ["Pretrained Models", "Body8"] else column
                assert row.accuracy[name] == float(value)


def test_an_archive_is_of_the_same_network_as_the_checkpoint_beside_it() -> None:
    """The page has another's beside RTMW-m's: dw-m-s, of the network that m taught, for dw-l-m."""
    for row in ROWS:
        stems = {
            re.split(r"[-_]2\d{7}", f.name.rsplit(".", 1)[0])[0] for f in row.files if f.kind != "onnx"
        }
        assert len(stems) == 1, row.name


def test_figures_are_of_what_they_say() -> None:
    """Two of the page's tables lack columns of those above them: what follows must not move up."""
    sizes = {}
    for row in ROWS:
        if row.network.startswith("rtmpose-") and row.target == "person" and row.data != "pruned":
            known = sizes.setdefault((row.network, row.input_size, row.keypoint_set), row)
            if row.parameters_m and known.parameters_m:
                assert (row.parameters_m, row.flops_g) == (known.parameters_m, known.flops_g), row.name
        for name, percent in row.accuracy.items():
            assert ("NME" in name) == (percent < 20), (row.name, name)
            assert "AR" not in name or percent < 90, (row.name, name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_name_resolves_and_its_card_is_complete(row) -> None:
    assert find_published(row.name) is row
    assert row.license
    assert row.source
    if row.task == "backbone":
        with pytest.raises(InputError, match="ImageNet weights"):
            row.card()
        return
    card = row.card()
    assert card.license == row.license
    assert card.weights_source == row.files[0].url
    assert row.network == card.name
    if card.task == "pose":
        assert len(card.keypoints()) in (17, 21, 26, 106, 133)
        assert card.color_order == ("bgr" if card.decoder == "rtmo" else "rgb")
    else:
        assert card.color_order == "bgr"
    assert card.simcc_beta == (1.0 if row.network.startswith("rtmw") else 10.0)


def test_hashes_are_those_in_the_names_and_dates_are_none() -> None:
    prefixes = {file.name: file.sha256_prefix for row in ROWS for file in row.files}
    for name, prefix in prefixes.items():
        assert not prefix or (name.endswith(".pth") and f"-{prefix}" in name)
        assert re.fullmatch(r"(?!20[12]\d[01]\d[0-3]\d$)[0-9a-f]{7,8}|", prefix)
    assert prefixes["rtmw-dw-x-l_simcc-cocktail14_270e-384x288-20231122.pth"] == ""  # a date
    assert prefixes["rtmpose-m_simcc-hand5_pt-aic-coco_210e-256x256-74fb594_20230320.pth"] == "74fb594"
    without = [n for n, p in prefixes.items() if n.endswith(".pth") and not p]
    assert len(without) == 4  # three of RTMW, and the pruned one


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("rtmpose-m", "rtmpose-m-coco17-256x192"),
        ("RTMPose-M", "rtmpose-m-coco17-256x192"),
        ("rtmpose-tiny", "rtmpose-t-coco17-256x192"),
        ("rtmpose-x", "rtmpose-x-coco17-384x288"),
        ("rtmpose-m-384x288", "rtmpose-m-coco17-384x288"),
        ("rtmpose-m-aic-coco-384x288", "rtmpose-m-coco17-aic-coco-384x288"),
        ("rtmpose-m-384x288-aic-coco", "rtmpose-m-coco17-aic-coco-384x288"),
        ("rtmpose-s-pruned", "rtmpose-s-coco17-pruned-256x192"),
        ("rtmpose-m-hand", "rtmpose-m-hand21-256x256"),
        ("rtmw-l-wholebody-384x288", "rtmw-l-wholebody-384x288"),
        ("rtmw-m", "rtmw-m-wholebody-256x192"),
        ("rtmdet-nano", "rtmdet-nano-320x320"),
        ("rtmdet-nano-hand", "rtmdet-nano-hand-320x320"),
    ],
)
def test_short_names(name: str, full: str) -> None:
    assert name_published(name).name == full


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match=r"Did you mean rtmpose-m"):
        find_model("rtmpos-m")
    with pytest.raises(ModelNotFoundError, match=r"Did you mean .*rtmw-l-wholebody-384x288"):
        find_model("rtmw-l-wholebody-384x280")
    with pytest.raises(ModelNotFoundError, match="rtmpose models"):
        find_model("zzz")


def test_presets_need_no_torch() -> None:
    for preset in PRESETS.values():
        for name in preset:
            assert name_published(name).files[0].kind == "zip"
    with pytest.raises(InputError, match="'balanced' is a preset"):
        find_model("balanced")


PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
MODES = re.findall(r"^\| rtmlib: `(\w+)\((.*?)\)`.* \| `(Pipeline\(.*\))` \|$", PAGE, re.M)


@pytest.mark.parametrize(("solution", "given", "ours"), MODES, ids=[f"{a}({b})" for a, b, _ in MODES])
def test_rtmlibs_words_are_our_names(solution: str, given: str, ours: str) -> None:
    """The page's table, against the addresses in rtmlib itself."""
    rtmlib = pytest.importorskip("rtmlib")
    said = eval(f"dict({given})")
    modes = getattr(rtmlib, solution)
    theirs = (modes.RTMO_MODE if said.get("pose") == "rtmo" else modes.MODE)[said["mode"]]
    pose, detector = eval(
        ours, {"Pipeline": lambda pose, finder=None: models_meant(pose, finder or "auto")}
    )
    names = {"pose": pose, "det": detector}
    for what in ("pose", "det"):
        if what in theirs:
            assert name_published(names[what]).files[0].url == theirs[what]


@pytest.mark.parametrize("mode", ["lightweight", "balanced", "performance"])
def test_rtmlibs_modes_are_our_presets(mode: str) -> None:
    rtmlib = pytest.importorskip("rtmlib")
    theirs = rtmlib.Body.MODE[mode]
    assert [name_published(name).files[0].url for name in PRESETS[mode]] == [theirs["pose"], theirs["det"]]
