"""A baseline is checked before anything is timed, and compared with the same thing only."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rtmpose_sdk.benchmarks import cli
from rtmpose_sdk.benchmarks.baseline import compare, pairs, read_baseline
from rtmpose_sdk.benchmarks.latency import summarize
from rtmpose_sdk.benchmarks.machine import machine_record
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.zoo import DEFAULT_POSE, find_model

WORDS = ["--threads", "1", "--warm-up", "0", "--runs", "2"]


def report(folder: str | None = None, **setting: Any) -> dict[str, Any]:
    took = summarize([8e6, 9e6]).as_dict()
    return {
        "name": "model.onnx",
        "setting": {"pose": "t (model.onnx)", "engine": "onnxruntime 1.2", **setting},
        "artifact": {} if folder is None else {"file": f"{folder}/model.onnx"},
        "ms": {"bare engine": took, "pipeline, detection every 5": took},
    }


def content(*reports: dict[str, Any]) -> dict[str, Any]:
    return {"rtmpose_bench": 1, "machine": machine_record(), "reports": list(reports or [report()])}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps that were timed, each as if it took 9 and 10 ms."""
    names: list[str] = []

    def fake(candidates: list[Any], *_: int) -> list[dict[str, Any]]:
        names.extend(name for c in candidates for name in c.steps)
        return [{name: summarize([9e6, 10e6]) for name in c.steps} for c in candidates]

    monkeypatch.setattr(cli, "_time", fake)
    return names


def bench(*words: str | Path) -> None:
    CliRunner().invoke(cli.app, [*WORDS, *map(str, words)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("machine"), "does not say the machine"),
        (lambda c: c.update(machine=None), "does not say the machine"),
        (lambda c: c.pop("reports"), "no reports"),
        (lambda c: c.update(reports=[]), "no reports"),
        (lambda c: c.update(reports=[[1]]), "report 1 has no setting"),
        (lambda c: c["reports"][0].update(setting=None), "report 1 has no setting"),
        (lambda c: c["reports"][0]["setting"].pop("engine"), "does not name its engine"),
        (lambda c: c["reports"][0]["setting"].update(engine=" "), "does not name its engine"),
        (lambda c: c["reports"][0]["setting"].update(pose=["a"]), "does not name its pose"),
        (lambda c: c["reports"][0].pop("ms"), "no figures"),
        (lambda c: c["reports"][0]["ms"].update({"bare engine": 3}), "its p50 is None"),
        *(
            (lambda c, v=value: c["reports"][0]["ms"]["bare engine"].update(p50=v), "its p50 is")
            for value in (None, "8", True, 0, -8.0, float("nan"), float("inf"))
        ),
        (
            lambda c: c["reports"][0]["ms"]["pipeline, detection every 5"].update(mean=0),
            "its mean is 0, expected ms above 0",
        ),
    ],
)
def test_damaged_baselines_are_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps(content()))
    assert read_baseline(file)["reports"]
    damaged = content()
    change(damaged)
    file.write_text(json.dumps(damaged))
    with pytest.raises(InputError, match=rf"old\.json: damaged.*{message}.*--json"):
        read_baseline(file)


def test_what_cannot_be_compared_is_said_before_timing(tmp_path: Path, timed: list[str]) -> None:
    old = content()
    old["machine"]["processor"] = "Abacus 3"
    (tmp_path / "other.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match="of another machine"):
        bench("--compare", tmp_path / "other.json")
    (tmp_path / "none.json").write_text(json.dumps(content()))
    with pytest.raises(InputError, match="nothing that is measured now"):
        bench("--compare", tmp_path / "none.json")
    with pytest.raises(InputError, match=r"nothing to compare with.*--compare"):
        bench("--fail-if-slower", "5%")
    assert timed == []


def test_a_slower_peer_is_no_regression_of_ours(
    tmp_path: Path, timed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peer:
        version = "1"

        def __call__(self, _picture: object) -> list[int]:
            return []

    monkeypatch.setattr("rtmpose_sdk.benchmarks.candidates.open_peer", lambda *_: Peer())
    bench("--peer", "rtmlib", "--json", tmp_path / "old.json")
    old = json.loads((tmp_path / "old.json").read_text())
    old["reports"][0]["ms"]["peer rtmlib"]["p50"] /= 2
    (tmp_path / "old.json").write_text(json.dumps(old))
    bench("--peer", "rtmlib", "--compare", tmp_path / "old.json")
    old["reports"][0]["ms"]["network"]["p50"] /= 2
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(
        InputError, match=r"slower than the baseline by more than 5.0%: [^;]*network"
    ) as error:
        bench("--peer", "rtmlib", "--compare", tmp_path / "old.json")
    assert "peer" not in str(error.value)


def test_another_box_is_another_thing(tmp_path: Path, timed: list[str]) -> None:
    box = ["--box", "100", "20", "400", "500"]
    bench(*box, "--json", tmp_path / "old.json")
    assert read_baseline(tmp_path / "old.json")["reports"][0]["setting"]["box"] == [100, 20, 400, 500]
    bench(*box, "--compare", tmp_path / "old.json")
    with pytest.raises(InputError, match="picture and box as then"):
        bench("--compare", tmp_path / "old.json")


def test_the_peak_is_the_best_of_before_and_after(
    tmp_path: Path, timed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = iter([1.0, 2.0])
    monkeypatch.setattr(cli, "peak_gflops", lambda _threads: next(peaks))
    bench("--json", tmp_path / "r.json")
    found = read_baseline(tmp_path / "r.json")
    assert found["reports"][0]["artifact"]["peak GFLOP/s"] == 2.0
    if found["reports"][0]["artifact"]["multiply-adds"]:  # of 0.36 G in 9.5 ms
        assert "noisy machine" in found["noise warning"]


def test_files_of_one_name_are_compared_with_themselves(tmp_path: Path, timed: list[str]) -> None:
    poses = []
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
        poses += ["--pose", shutil.copy(find_model(DEFAULT_POSE), tmp_path / folder / "model.onnx")]
    bench(*poses[2:], "--json", tmp_path / "alone.json")
    bench(*poses, "--json", tmp_path / "both.json")
    alone, both = (read_baseline(tmp_path / f"{name}.json") for name in ("alone", "both"))
    assert {c.candidate for c in compare(both, alone)} == {"p2/model.onnx, 1 thread, 1 person"}
    assert {c.candidate for c in compare(alone, both)} == {"model.onnx, 1 thread, 1 person"}


def test_which_reports_are_of_the_same_file() -> None:
    def matched(new: list[str | None], old: list[str | None]) -> list[tuple[int, int]]:
        ours, theirs = [report(name) for name in new], [report(name) for name in old]
        numbers = [[id(r) for r in each] for each in (ours, theirs)]
        return [(numbers[0].index(id(a)), numbers[1].index(id(b))) for a, b in pairs(ours, theirs)]

    assert matched(["p1", "p2"], ["p2", "p1"]) == [(0, 1), (1, 0)]
    assert matched(["x/m", "y/m"], ["y/m"]) == [(1, 0)]
    assert matched(["new"], ["old"]) == [(0, 0)]  # a model that moved
    assert matched(["p1", "p2"], ["p1", "old"]) == [(0, 0), (1, 1)]
    assert matched(["p1", "p2"], [None, None]) == [(0, 0), (1, 1)]
    for new, old in ((["p1", "p2"], [None]), (["p1", "p2"], ["p3"])):
        with pytest.raises(InputError, match="nothing"):
            matched(new, old)


def test_what_one_side_alone_has_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that says nothing of a new model would pass for one that held it."""
    new = content(report(), report(threads=2), report(pose="s (new.onnx)"))
    old = content(report(), report(threads=4))
    for each, name in zip(new["reports"] + old["reports"], "abcxy", strict=True):
        each["name"] = name
    cli._judge(new, old, 0.05, False)
    said = capsys.readouterr().out.splitlines()
    assert said[-3:] == [
        "b: not compared, the baseline has no figures of it",
        "c: not compared, the baseline has no figures of it",
        "y: not compared, of the baseline alone",
    ]
    assert all(line.startswith("a, ") for line in said[:-3])


@pytest.mark.parametrize("option", ["--json", "--markdown", "--html", "--png"])
def test_the_baseline_is_not_written_over(tmp_path: Path, timed: list[str], option: str) -> None:
    """Slower figures in its place would pass the next time."""
    file = tmp_path / "base.json"
    file.write_text(json.dumps(content()))
    with pytest.raises(OutputError, match=f"{option} would replace the baseline"):
        bench("--compare", file, option, tmp_path / "x" / ".." / "base.json")
    assert not timed


def test_sizes_of_detectors_are_compared() -> None:
    old = content(report(**{"detector size": [256, 320]}))
    assert compare(copy.deepcopy(old), old)
    with pytest.raises(InputError, match="nothing"):
        compare(content(report(**{"detector size": [320, 320]})), old)
