"""Which machine is it, and which of its GPUs?"""

from __future__ import annotations

import pytest

from rtmpose_sdk.benchmarks.gpu import pick_gpu
from rtmpose_sdk.benchmarks.machine import differences

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
        ("cuda", "GPU-bb", "B"),
        ("cuda:2", "0", None),
        ("cuda", "", None),
    ],
)
def test_the_gpu_that_is_measured(device: str, visible: str | None, name: str | None) -> None:
    rows = [["0", "GPU-aa1", "A", "1"], ["1", "GPU-bb1", "B", "1"], ["2", "GPU-cc1", "C", "1"]]
    assert pick_gpu(rows, device, visible)[0] == name
