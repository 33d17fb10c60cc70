"""Options that would be passed over are refused, by the names that a user types."""

from __future__ import annotations

from typing import Annotated

import cv2
import pytest
import typer
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks.cli import app as bench
from rtmpose_sdk.cli.main import app as rtmpose
from rtmpose_sdk.cli.options import limit_opencv, refuse_given
from rtmpose_sdk.errors import InputError, TrainingError

small = typer.Typer()


@small.command()
def _small(
    context: typer.Context,
    kind: Annotated[str, typer.Argument()] = "a",
    license_name: Annotated[str, typer.Option("--license", "-l")] = "unknown",
    smooth: Annotated[bool, typer.Option()] = True,
    many: Annotated[list[int] | None, typer.Option()] = None,
) -> None:
    refuse_given(context, ["kind", "license_name", "smooth", "many"], "not now")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", None),
        ("a", "KIND: not now"),
        ("--license unknown", "--license: not now"),
        ("-l x --many 1 --many 2", "--license, --many: not now"),
        ("--smooth", "--smooth: not now"),
        ("--no-smooth", "--no-smooth: not now"),
    ],
)
def test_what_was_given_is_named_as_it_is_typed(words: str, message: str | None) -> None:
    done = CliRunner().invoke(small, words.split())
    assert (None if done.exception is None else str(done.exception)) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--native program", "--native: for --device adb, and this is --device cpu"),
        ("--remote-command rtmpose-bench", "--remote-command: for --device ssh, and this is --device cpu"),
        (
            "--device ssh:me@there --native p",
            "--native: for --device adb, and this is --device ssh:me@there",
        ),
        ("--device adb --remote-command x", "--remote-command: for --device ssh, and this is --device adb"),
        ("--force", "--force: nothing to compare with; give an older report: --compare old.json"),
        ("--paper --persons 1", "--persons: --paper chooses networks and persons by itself"),
    ],
)
def test_the_bench_passes_nothing_over(words: str, message: str) -> None:
    refused = CliRunner().invoke(bench, words.split()).exception
    assert isinstance(refused, InputError), refused
    assert message in str(refused)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pose --resume run --epochs 3", "--epochs, TASK: --resume takes it from the run's folder"),
        (
            "pose --data a.json --teacher-confidence 0.3",
            "--teacher-confidence: said of a teacher; name one",
        ),
        ("detector --data a.json --no-gau", "--no-gau: not for training a detector model"),
    ],
)
def test_training_passes_nothing_over(words: str, message: str) -> None:
    refused = CliRunner().invoke(rtmpose, ["train", *words.split()]).exception
    assert isinstance(refused, InputError), refused
    assert message in str(refused)


def test_a_run_is_resumed_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTMPOSE_OFFLINE", "")
    refused = CliRunner().invoke(rtmpose, ["train", "--resume", "nowhere", "--offline"]).exception
    assert isinstance(refused, TrainingError), refused
    assert "not a training run" in str(refused)


def test_opencv_is_not_given_a_hundred_thousand_threads() -> None:
    before = cv2.getNumThreads()
    with pytest.raises(InputError, match="threads is 100000; expected at most 256"):
        limit_opencv(100000)
    assert cv2.getNumThreads() == before
