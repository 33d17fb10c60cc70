"""`rtmpose plot`: slow files, lone points, nothing to draw, and many joints."""

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


def test_many_joints_have_a_short_name_and_a_limit(tmp_path: Path) -> None:
    """Forty names are longer than a file's name may be."""
    pytest.importorskip("matplotlib")
    joints = [f"left_shoulder_blade_{i}" for i in range(40)]
    point = {"x": 1.0, "y": 2.0, "confidence": 0.9}
    person = {"track_id": 1, "keypoints": dict.fromkeys(joints, point)}
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"frame": 0, "time": 0.0, "persons": [person]}) + "\n")

    def plot(count: int, *words: str) -> None:
        named = [word for joint in joints[:count] for word in ("--joint", joint)]
        CliRunner().invoke(app, ["plot", str(file), *named, *words], catch_exceptions=False)

    plot(5, "--what", "x")
    assert [p.name for p in tmp_path.glob("*.png")] == ["a_5_joints.png"]
    with pytest.raises(InputError, match="40 joints with 3 plots each; expected at most 100 plots"):
        plot(40, "--what", "x", "--what", "y", "--what", "speed")


def test_the_legend_hides_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    boxes = []

    def look(self: object, *_: object, **__: object) -> None:
        self.draw_without_rendering()
        axis = self.axes[0]
        boxes.append((axis.get_legend().get_window_extent(), axis.get_window_extent()))

    monkeypatch.setattr(figure.Figure, "savefig", look)
    file = write(tmp_path / "a.jsonl", [0.0, 0.1, 0.2], [True] * 3)
    words = ["plot", str(file), "--joint", "nose", "--what", "x"]
    CliRunner().invoke(app, words, catch_exceptions=False)
    [(legend, inside)] = boxes
    assert legend.y0 >= inside.y1
