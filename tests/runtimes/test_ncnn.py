"""The ncnn engine on a network of two layers: it adds a number to each channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtmpose_sdk.errors import ModelFileError
from rtmpose_sdk.runtimes import open_runtime

pytest.importorskip("ncnn")
PARAM = """7767517
2 2
Input data 0 1 data 0=4 1=4 2=3
Convolution add 1 1 data out 0=3 1=1 5=1 6=9
"""
ONES = np.ones((2, 3, 4, 4), np.float32)


def weights(*added: float) -> bytes:
    """Of a convolution of one pixel: a tag (fp32), the unit matrix, what is added."""
    return np.concatenate([[0], np.eye(3).reshape(-1), added]).astype(np.float32).tobytes()


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    (tmp_path / "net.param").write_text(PARAM)
    (tmp_path / "net.bin").write_bytes(weights(1, 2, 3))
    return tmp_path / "net.param"


def test_weights_that_were_replaced_are_not_mixed_in(adder: Path) -> None:
    """Another number of threads for a sample reads the file again."""
    with open_runtime(adder, threads=2) as runtime:
        assert runtime.run(ONES[:1])[0][0, :, 0, 0].tolist() == [2, 3, 4]
        other = adder.with_name("other.bin")
        other.write_bytes(weights(7, 8, 9))
        other.replace(adder.with_suffix(".bin"))
        with pytest.raises(ModelFileError, match=r"net\.param: it or its \.bin was changed.*open it again"):
            runtime.run(ONES)
        assert runtime.run(ONES[:1])[0][0, :, 0, 0].tolist() == [2, 3, 4]


def test_a_relative_path_stays_where_it_was(
    adder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_runtime(Path("net.param"), threads=2) as runtime:
        monkeypatch.chdir("/")
        assert runtime.run(ONES)[0][1, :, 3, 3].tolist() == [2, 3, 4]


def test_a_size_that_is_no_number(adder: Path) -> None:
    adder.write_text(PARAM.replace("0=4 1", "0=abc 1"))
    with pytest.raises(ModelFileError, match="its Input layer's size is no number"):
        open_runtime(adder)
