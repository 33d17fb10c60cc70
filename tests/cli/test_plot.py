"""`rtmpose plot`: slow files, lone points, and nothing to draw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rtmpose_sdk.cli.main import app
from rtmpose_sdk.cli.plot import GAP, GAP_STEPS, What, _alone, lines_of, read_ways
from rtmpose_sdk.errors import InputError


def write(path: Path, times: Sequence[float], seen: Sequence[bool], confidence: float = 0.9) -> Path:
    """Frames at these times; the nose of person 1 where it is seen, one px further in each."""
    rows = []
    for number, (time, there) in enumerate(zip(times, seen, strict=True)):
        nose = {"x": float(number), "y": 5.0, "confidence": confidence}
        persons = [{"track_id": 1, "keypoints": {"nose": nose}}] if there else []
        rows.append(json.dumps({"frame": number, "time": time, "persons": persons}))
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def line(path: Path, kind: What = What.X) -> np.ndarray:
    ways, step = read_ways(path, ["nose"])
    return lines_of(ways, ["nose"], [kind], 0.3, max(GAP, GAP_STEPS * step))["nose", kind][1][1]


def test_slow_files_have_lines(tmp_path: Path) -> None:
    every = write(tmp_path / "a.jsonl", [2.0 * i for i in range(5)], [True] * 5)
    np.testing.assert_array_equal(line(every), [0, 1, 2, 3, 4])
    missing = write(tmp_path / "b.jsonl", [2.0 * i for i in range(5)], [True, True, False, True, True])
    np.testing.assert_array_equal(line(missing), [0, 1, np.nan, 3, 4])


def test_the_step_is_the_frames_and_not_the_persons(tmp_path: Path) -> None:
    seen = [i in (0, 100) for i in range(101)]
    found = line(write(tmp_path / "a.jsonl", [i / 30 for i in range(101)], seen))
    np.testing.assert_array_equal(found, [0, np.nan, 100])
    np.testing.assert_array_equal(_alone(found), [True, False, True])


def test_lone_points_are_marked() -> None:
    nan = np.nan
    np.testing.assert_array_equal(
        _alone(np.array([1, nan, 2, 3, nan, 4])), [True, False, False, False, False, True]
    )
    assert not _alone(np.array([nan, nan])).any()


@pytest.mark.parametrize(
    ("what", "frames", "confidence", "message"),
    [
        ("x", 3, 0.2, r"--min-confidence is 0\.3, the surest point has 0\.20; give a lower one"),
        ("speed", 1, 0.9, "a speed takes two frames in a row"),
    ],
)
def test_nothing_to_draw_is_an_error(
    tmp_path: Path, what: str, frames: int, confidence: float, message: str
) -> None:
    file = write(tmp_path / "a.jsonl", range(frames), [True] * frames, confidence)
    words = ["plot", str(file), "--joint", "nose", "--what", what, "--out", str(tmp_path / "p.png")]
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "p.png").exists()


def test_a_lone_point_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cv2 = pytest.importorskip("cv2")
    words = ["plot", str(write(tmp_path / "a.jsonl", [0.0], [True])), "--joint", "nose", "--what", "x"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "p.png")], catch_exceptions=False)
    assert done.exit_code == 0
    drawn = cv2.imread(str(tmp_path / "p.png")).astype(int)
    height, width = drawn.shape[:2]
    middle = drawn[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    assert (np.ptp(middle, axis=2) > 60).any()  # a colour, where the grid is grey
