"""`rtmpose plot`: how joints move over time, from a JSONL file of `rtmpose predict`, as a PNG."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from rtmpose_sdk.cli.options import to_file
from rtmpose_sdk.drawing import id_color
from rtmpose_sdk.errors import InputError, MissingExtraError, OutputError
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.json_lines import read_json_lines

Floats = NDArray[np.float64]

GAP = 0.5
"""Seconds without a person after which its line breaks, where frames are not further apart themselves."""
GAP_STEPS = 1.5
"""The same in usual steps from frame to frame, for files of fewer than three frames a second."""


NAMED = 4
"""Joints that the name of the PNG lists; of more it says how many."""

MOST = 100
"""Plots in one PNG, one above the other: more make no picture that is opened."""


class What(str, enum.Enum):
    """What is plotted."""

    X = "x"
    Y = "y"
    SPEED = "speed"
    CONFIDENCE = "confidence"


def plot(
    results: Annotated[Path, typer.Argument(help="A JSONL file that `rtmpose predict` wrote.")],
    joint: Annotated[list[str], typer.Option(help="A keypoint's name; repeatable.")],
    out: Annotated[
        Path | None, to_file(help="The PNG; default: beside the results.", kinds=(".png",))
    ] = None,
    what: Annotated[list[What], typer.Option(help="x, y (px), speed (px/s), confidence; repeatable.")] = [  # noqa: B006 - typer reads the default and copies it
        What.X,
        What.Y,
    ],
    person: Annotated[list[int] | None, typer.Option(help="Only these track ids; repeatable.")] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Points below it are left out.")
    ] = 0.3,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a PNG that exists.")] = False,
) -> None:
    """Plot chosen joints over time, a line for each person."""
    joint = list(dict.fromkeys(joint))
    if len(joint) * len(set(what)) > MOST:
        raise InputError(
            f"{len(joint)} joints with {len(set(what))} plots each; expected at most {MOST} plots in all, "
            "give the rest to another call"
        )
    said = "_".join(joint) if len(joint) <= NAMED else f"{len(joint)}_joints"
    target = out or results.with_name(f"{results.stem}_{said}.png")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already; --overwrite replaces it, --out takes another name")
    ways, step = read_ways(results, joint, person)
    lines = lines_of(ways, joint, what, min_confidence, max(GAP, GAP_STEPS * step))
    write_bytes(target, _png(lines, len(ways), results.name))
    typer.echo(f"{len(ways)} {'person' if len(ways) == 1 else 'people'}: {target}")


def read_ways(
    results: Path, joints: list[str], persons: list[int] | None = None
) -> tuple[dict[int, dict[str, Floats]], float]:
    """For each track id and joint: (T,4) of time (s), x, y (px) and confidence; and the usual step, s.

    Args:
        results: a JSONL file.
        joints: keypoint names.
        persons: only these ids.

    Raises:
        InputError: no such file, joint or person, or nobody at all.
    """
    rows: dict[int, dict[str, list[tuple[float, ...]]]] = {}
    known: set[int] = set()
    times = []
    for frame in read_json_lines(results):
        times.append(float(frame["time"]))
        for who in frame["persons"]:
            number = int(who.get("track_id", 0))
            known.add(number)
            if persons and number not in persons:
                continue
            for joint in joints:
                point = who["keypoints"].get(joint)
                if point is None:
                    names = ", ".join(who["keypoints"])
                    raise InputError(f"{results}: there is no joint '{joint}'; it has {names}")
                place = (float(frame["time"]), point["x"], point["y"], point["confidence"])
                rows.setdefault(number, {}).setdefault(joint, []).append(place)
    missing = sorted(set(persons or []) - known)
    if missing or not rows:
        there = ", ".join(map(str, sorted(known))) or "nobody"
        raise InputError(
            f"{results}: no person {missing} in it; there is {there}"
            if missing
            else f"{results}: nobody is in it"
        )
    ways = {n: {j: np.array(v) for j, v in joints_of.items()} for n, joints_of in sorted(rows.items())}
    return ways, float(np.median(np.diff(times))) if len(times) > 1 else 0.0


Line = tuple[Floats, Floats]
"""Times (s) and values, with NaN where the line breaks."""


def lines_of(
    ways: dict[int, dict[str, Floats]],
    joints: list[str],
    what: list[What],
    min_confidence: float,
    gap: float,
) -> dict[tuple[str, What], dict[int, Line]]:
    """What is drawn: for each plot, a line for each track id, broken where it lacks points for `gap` s.

    Raises:
        InputError: there is nothing to draw.
    """
    lines = {
        (joint, kind): {
            number: _line(of[joint], kind, min_confidence, gap)
            for number, of in ways.items()
            if joint in of
        }
        for joint in joints
        for kind in what
    }
    if not any(np.isfinite(value).any() for of in lines.values() for _, value in of.values()):
        surest = max(way[:, 3].max() for of in ways.values() for way in of.values())
        raise InputError(
            f"nothing to draw: --min-confidence is {min_confidence}, the surest point has {surest:.2f}; "
            "give a lower one"
            if surest < min_confidence
            else f"nothing to draw: a speed takes two frames in a row of --min-confidence {min_confidence}"
        )
    return lines


def _png(lines: dict[tuple[str, What], dict[int, Line]], persons: int, title: str) -> bytes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "rtmpose plot") from None
    import io

    figure = Figure(figsize=(11, 0.6 + 2.2 * len(lines)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(len(lines), 1, sharex=True))
    for axis, ((joint, kind), of) in zip(axes, lines.items(), strict=True):
        for number, (time, value) in of.items():
            blue, green, red = (value / 255 * 0.8 for value in id_color(number))
            color = (red, green, blue)
            axis.plot(time, value, color=color, linewidth=1.6, label=f"id {number}")
            alone = _alone(value)
            axis.plot(time[alone], value[alone], ".", color=color)
        unit = {What.X: "x, px", What.Y: "y, px", What.SPEED: "px / s", What.CONFIDENCE: "confidence"}[kind]
        axis.set_ylabel(f"{joint}\n{unit}")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if kind is What.Y:
            axis.invert_yaxis()  # as in the picture: up is up
    axes[-1].set_xlabel("time, s")
    axes[0].set_title(title, loc="left", fontsize=10)
    if persons <= 12:
        beside = {"loc": "lower right", "bbox_to_anchor": (1, 1)}  # inside it would hide lines
        axes[0].legend(ncols=6, fontsize=8, frameon=False, borderaxespad=0.2, **beside)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _line(way: Floats, kind: What, min_confidence: float, gap: float) -> Line:
    time = way[:, 0].copy()
    if kind is What.CONFIDENCE:
        value = way[:, 3].copy()
    else:
        places = np.where(way[:, 3:] >= min_confidence, way[:, 1:3], np.nan)
        if kind is What.SPEED:
            steps = np.diff(places, axis=0, prepend=np.nan * places[:1])
            seconds = np.diff(time, prepend=np.nan)
            value = np.hypot(*steps.T) / seconds
        else:
            value = places[:, 0 if kind is What.X else 1]
    gaps = np.flatnonzero(np.diff(time) > gap) + 1
    return np.insert(time, gaps, time[gaps - 1] if len(gaps) else []), np.insert(value, gaps, np.nan)


def _alone(value: Floats) -> NDArray[np.bool_]:
    """Points with a break on both sides, which a line does not show."""
    there = np.pad(np.isfinite(value), 1)
    alone: NDArray[np.bool_] = there[1:-1] & ~there[:-2] & ~there[2:]
    return alone
