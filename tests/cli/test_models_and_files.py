"""Which models and files do the commands' options mean? All of it is said before the work begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.cli.evaluate_asked import Asked, check_options
from rtmpose_sdk.cli.evaluate_write import conditions_of
from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.options import detector_meant
from rtmpose_sdk.errors import InputError, OutputError, SourceError
from rtmpose_sdk.hub.table import PRESETS
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, name_published

EVAL = ["eval", "--annotations", "none.json", "--images", "none"]


def run(*words: object) -> None:
    CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def asked(**values: Any) -> Asked:
    nothing: dict[str, Any] = dict.fromkeys(Asked.__dataclass_fields__)
    common = {"annotations": Path("none.json"), "images": Path("none"), "pose": "p.onnx", "processes": 1}
    return Asked(**{**nothing, **common, **values})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["--json", "x.png"], ["--results", "x.png"]),
        (["--json", "x.png"], ["--resume", "x.png"]),
        (["--results", "x.png"], ["--resume", "there/../x.png"]),
        (["--json", "x.png"], ["--reliability", "link.png"]),
        (["--reliability", "x.png"], ["--worst", "3", "x.png"]),
    ],
)
def test_two_outputs_in_one_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: list[str], other: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    os.symlink("x.png", "link.png")
    with pytest.raises(OutputError, match=rf"{one[0]} and {other[0]} would both be written there"):
        run(*EVAL, *one, *other)


def test_a_model_is_not_replaced_by_figures(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with pytest.raises(OutputError, match=r"m\.onnx: holds the detector; expected another file"):
        run(*EVAL, "--detector", tmp_path / "m.onnx", "--json", tmp_path / "m.onnx")


def test_the_threshold_that_an_ap_was_measured_with_is_named() -> None:
    found = conditions_of(asked(detector="models/d.onnx"))
    assert found == ["boxes of d.onnx", "detection threshold 0.3"]
    found = conditions_of(asked(detector="d", detection_threshold=0.05, flip_test=True))
    assert found == ["boxes of d", "detection threshold 0.05", "flip test"]
    assert conditions_of(asked()) == ["ground-truth boxes"]
    assert conditions_of(asked(detector="d", boxes_only=True)) == ["person boxes"]


def test_what_auto_means_for_a_detector() -> None:
    assert detector_meant("rtmpose-m", None) is None
    assert detector_meant("rtmpose-m", "auto") == DEFAULT_DETECTOR
    assert detector_meant("balanced", "auto") == PRESETS["balanced"].detector
    assert detector_meant("balanced", DEFAULT_DETECTOR) == DEFAULT_DETECTOR


def test_a_profile_is_not_measured_as_one_model() -> None:
    with pytest.raises(InputError, match="--pose auto is a profile of rtmpose tune"):
        check_options(asked(pose="auto"))


class _OpenedError(Exception):
    """With these arguments."""


@pytest.mark.parametrize(
    ("words", "detector"),
    [
        ([], "auto"),
        (["--detector", DEFAULT_DETECTOR], DEFAULT_DETECTOR),
        (["--boxes", "full"], None),
        (["--track"], "auto"),
        (["--track", "--detector", DEFAULT_DETECTOR], DEFAULT_DETECTOR),
    ],
)
def test_predict_tells_a_named_detector_from_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], detector: str | None
) -> None:
    def opened(*arguments: object, **_: object) -> None:
        raise _OpenedError(*arguments)

    monkeypatch.setattr("rtmpose_sdk.cli.predict.Pipeline", opened)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(_OpenedError) as found:
        run("predict", tmp_path / "a.png", "--pose", "lightweight", "--out", tmp_path / "out", *words)
    assert found.value.args == ("lightweight", detector, "cpu")


def test_a_start_after_the_end_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.zeros((48, 64, 3), np.uint8))
    words = ["predict", folder, "--track", "--threads", 1, "--save", "jsonl", "--out", tmp_path / "out"]
    for again in ([], ["--resume"]):  # nothing was done, so nothing is wrong with what was
        with pytest.raises(SourceError, match=r"last frame is at 0\.067 s, before start 5 s"):
            run(*words, "--start", 5, *again)


def test_the_page_of_an_artifact_takes_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--pose: --artifact holds its models"):
        run("web", "--artifact", tmp_path / "p.onnx", "--pose", "rtmpose-t-own")


def test_names_and_addresses_that_are_typed_or_copied_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(app, ["models", "info", "rtmpose-m"]).output.splitlines()
    for file in name_published("rtmpose-m").files:
        assert f"{file.kind}: {file.url}" in said
    assert "…" not in CliRunner().invoke(app, ["models", "list", "wholebody", "384x288"]).output
