"""Cards that lie beside their artifacts, as people move, rename and edit them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtmpose_sdk.artifacts import artifact_card, card_beside, read_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.cli import card as card_command
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.exporters.new_card import new_card
from rtmpose_sdk.runtimes import open_runtime

ADDER = """7767517
2 2
Input data 0 1 data 0=4 1=4 2=3
Convolution add 1 1 data out 0=3 1=1 5=1 6=9
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An ncnn artifact of one layer, with a card."""
    (tmp_path / "t.param").write_text(ADDER)
    (tmp_path / "t.bin").write_bytes(bytes(4 * 13))
    card_beside(tmp_path / "t.param").write_text(new_card("rtmpose-t", (192, 256), "coco17").to_json())
    return tmp_path / "t.param"


def test_an_artifact_that_was_renamed_without_its_card(artifact: Path) -> None:
    pytest.importorskip("ncnn")
    artifact.with_suffix(".bin").rename(artifact.with_name("pose.bin"))
    renamed = artifact.rename(artifact.with_name("pose.param"))
    with (
        open_runtime(renamed) as runtime,
        pytest.raises(CardError, match=r"looked for in pose\.param\.card\.json .*move and rename its card"),
    ):
        read_card(runtime)


def test_an_engine_without_its_card_needs_no_gpu_to_be_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said that 'cpu' is no device; and `card new`, which writes one, asked for the same."""
    (tmp_path / "t.engine").write_bytes(b"ftrt")
    with pytest.raises(
        CardError, match=r"t\.engine: has no model card .*in t\.engine\.card\.json beside it"
    ):
        artifact_card(tmp_path / "t.engine")
    asked = []
    monkeypatch.setattr(card_command, "open_runtime", lambda path, device: asked.append(device))
    CliRunner().invoke(card_command.app, ["new", str(tmp_path / "t.engine")])
    assert asked == ["cuda"]


def test_a_card_from_an_editor_that_writes_a_mark(artifact: Path) -> None:
    file = card_beside(artifact)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert artifact_card(artifact).name == "rtmpose-t"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "rgb"}, r"its model card has unknown fields \['colour'\]; correct it"),
        ({"input_size": None}, r"its model card lacks \['input_size'\]; correct it"),
        ({"input_size": None, "size": 1}, r"has unknown fields \['size'\] and lacks \['input_size'\]; cor"),
    ],
)
def test_a_slip_in_a_card(artifact: Path, change: dict[str, object], said: str) -> None:
    raw = {**json.loads(card_beside(artifact).read_text()), **change}
    text = json.dumps({name: value for name, value in raw.items() if value is not None})
    with pytest.raises(CardError, match=said):
        ModelCard.from_json(text, "t.param.card.json")
