"""Which machine is it, and which of its GPUs?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtmpose_sdk.benchmarks import footprint
from rtmpose_sdk.benchmarks.gpu import pick_gpu
from rtmpose_sdk.benchmarks.machine import beyond_peak, differences, peak_gflops

HERE = {"processor": "Xeon", "instruction sets": ["avx2"], "cores": 2, "gpu": "H100", "gpu driver": "560"}


def test_what_makes_another_machine() -> None:
    assert differences(HERE, {**HERE, "gpu driver": "535"}) == []
    assert differences(HERE, {**HERE, "gpu": "H100, 535.1"}) == []  # as it was written before
    assert differences(HERE, {**HERE, "gpu": "A100, 535.1"}) == ["gpu: A100 / H100"]
    assert differences(HERE, {**HERE, "instruction sets": ["avx2", "avx512f"]}) == [
        "instruction sets: avx2 avx512f / avx2"
    ]


@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [
        ("cpu", None, "A"),
        ("cuda", None, "A"),
        ("cuda:1", None, "B"),
        ("cuda:0", "2,0", "C"),
        ("cuda:1", "2,0", "A"),
        ("cuda:1", "0,9,1", None),
        ("cuda", "GPU-bb", "B"),
        ("cuda:2", "0", None),
        ("cuda", "", None),
    ],
)
def test_the_gpu_that_is_measured(device: str, visible: str | None, name: str | None) -> None:
    rows = [["0", "GPU-aa1", "A", "1"], ["1", "GPU-bb1", "B", "1"], ["2", "GPU-cc1", "C", "1"]]
    assert pick_gpu(rows, device, visible)[0] == name


def test_peak_memory_where_the_system_does_not_say(
    photo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = footprint._MEMORY.format(photo=str(photo_path), persons=1)
    assert 50 < footprint._last_number(code) < 2000  # MB
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(SystemExit, match="this system does not say a process's peak memory"):
        footprint.main()


def test_a_peak_is_of_several_products_however_short_the_time() -> None:
    assert peak_gflops(1, seconds=0) > 0


def test_more_than_the_peak_is_called_noise() -> None:
    def report(name: str, took: float | None, peak: float | None) -> dict:
        return {"name": name, "artifact": {"GFLOP/s": took, "peak GFLOP/s": peak}}

    calm = [report("a", 50, 100), report("gpu", 5000, None), report("xml", None, 100), {"name": "phone"}]
    calm[-1]["artifact"] = {"multiply-adds": None}
    assert beyond_peak(calm) == ""
    assert "noisy machine" in beyond_peak([*calm, report("b", 654, 100)])
    assert "(b 654%)" in beyond_peak([*calm, report("b", 654, 100)])
