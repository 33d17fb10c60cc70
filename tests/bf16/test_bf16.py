"""OpenVINO's bf16 gives the keypoints of fp32, ties aside: emulated, as this processor may lack it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from rtmpose_sdk.artifacts import read_card
from rtmpose_sdk.decode_simcc import decode_simcc
from rtmpose_sdk.runtimes import open_runtime
from rtmpose_sdk.zoo import find_model

pytest.importorskip("openvino")

from rtmpose_sdk.benchmarks.shifts import keypoint_shifts
from rtmpose_sdk.exporters.crops import verification_images
from rtmpose_sdk.exporters.tolerance import TOLERANCES

CROPS = int(os.environ.get("RTMPOSE_BF16_CROPS", "4"))
SHIFT_PX = 2.0


def test_openvino(run_in_bf16, coco: dict) -> None:
    artifact = find_model("rtmpose-t-own")
    with open_runtime(artifact) as runtime:
        card = read_card(runtime)
        # As many as asked for, from all pictures: neighbours show the same people.
        crops = verification_images(card, coco["folder"], coco["file"], 10_000)
        crops = crops[np.linspace(0, len(crops) - 1, CROPS).astype(int)]
        names = [spec.name for spec in runtime.outputs]
        want = dict(zip(names, runtime.run(crops), strict=True))
    arithmetic, outputs = run_in_bf16(artifact, crops)
    have = {name: flat.reshape(want[name].shape) for name, flat in zip(names, outputs, strict=True)}
    assert arithmetic.endswith("bf16")
    for name in names:  # it did compute in it, and nothing is lost
        assert not np.allclose(want[name], have[name], atol=1e-4)
        assert np.isfinite(have[name]).all()
    ratio, beta = card.simcc_split_ratio, card.simcc_beta
    a, b = (decode_simcc(v["simcc_x"], v["simcc_y"], ratio, beta).keypoints for v in (want, have))
    moved = np.linalg.norm(a - b, axis=-1)
    aside, ties = keypoint_shifts(want, have, card, TOLERANCES["bf16"].tie)
    print(  # noqa: T201 - pytest -rP shows it
        f"{arithmetic}, {CROPS} crops: median {np.median(moved):.3f} px, "
        f"p99 {np.percentile(moved, 99):.3f}, with {ties} ties aside {np.percentile(aside, 99):.3f}"
    )
    assert np.percentile(aside, 99) <= SHIFT_PX
