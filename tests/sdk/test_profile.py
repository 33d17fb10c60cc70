"""A profile that was edited by hand: every value is checked before anything is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.profile import NetworkSettings, Profile, hashes, this_machine, usable_profile
from rtmpose_sdk.zoo import find_model


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    """A profile of the bundled networks, as JSON."""
    networks = [
        NetworkSettings(str(path), "onnxruntime", None, 1, hashes(path))
        for path in map(find_model, ("rtmpose-t-own", "rtmdet-nano-own"))
    ]
    Profile(*networks, 1, 2, this_machine(), {}, {}, {}).save(tmp_path / "p.json")
    content: dict[str, Any] = json.loads((tmp_path / "p.json").read_text())
    return content


def read(tmp_path: Path, raw: Any) -> Profile:
    (tmp_path / "p.json").write_text(json.dumps(raw))
    return usable_profile(tmp_path / "p.json")


def test_what_tune_writes_is_read(tmp_path: Path, raw: dict[str, Any]) -> None:
    assert read(tmp_path, raw).detect_every == 2
    for size in (256, [256, 320], None):
        raw["detector"]["input_size"] = size
        assert read(tmp_path, raw).detector.input_size == size


def test_a_folder_is_named_by_its_files(tmp_path: Path, raw: dict[str, Any]) -> None:
    folder = tmp_path / "sdk"
    folder.mkdir()
    (folder / "pipeline.json").write_text("{}")
    raw["detector"] |= {"path": str(folder), "sha256": hashes(folder)}
    assert read(tmp_path, raw).detector.path == str(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["pose"].update(path=None), r"pose\.path is None, expected a file"),
        (lambda p: p["detector"].update(path=5), r"detector\.path is 5"),
        (lambda p: p["pose"].update(sha256=None), r"pose\.sha256 is None"),
        (
            lambda p: p["pose"].update(sha256={}),
            r"pose\.sha256 is {}, expected a digest .* rtmpose-t-own\.onnx",
        ),
        (lambda p: p["pose"].update(sha256={"x": "0"}), r"pose\.sha256 is {'x': '0'}"),
        (lambda p: p["pose"]["sha256"].update({"rtmpose-t-own.onnx": None}), r"pose\.sha256"),
        (lambda p: p["pose"].update(threads="two"), r"pose\.threads is 'two', expected a whole number"),
        (lambda p: p["pose"].update(threads=True), r"pose\.threads is True"),
        (lambda p: p["pose"].update(engine=3), r"pose\.engine is 3, expected a name or null"),
        (lambda p: p["pose"].update(precision=[]), r"pose\.precision is \[\]"),
        (lambda p: p["detector"].update(input_size=[256]), r"detector\.input_size is \[256\]"),
        (lambda p: p.update(machine=None), "machine is None, expected an object"),
        (lambda p: p.update(engines=None), "engines is None, expected versions by package"),
        (lambda p: p.update(engines={"openvino": 2}), "engines is {'openvino': 2}"),
        *(
            (lambda p, k=key, v=value: p.update({k: v}), f"{key} is .*, expected a whole number from 1")
            for key in ("batch_limit", "detect_every")
            for value in (None, "4", 2.5, 0, -3)
        ),
    ],
)
def test_values_of_another_kind_are_named(
    tmp_path: Path, raw: dict[str, Any], change: Callable[[Any], Any], message: str
) -> None:
    change(raw)
    with pytest.raises(InputError, match=rf"p\.json: {message}.*run `rtmpose tune`"):
        read(tmp_path, raw)
