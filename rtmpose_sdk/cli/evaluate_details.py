"""`rtmpose eval`: errors by keypoint, and what confidences are worth."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from rtmpose_sdk.errors import InputError, MissingExtraError
from rtmpose_sdk.images import write_bytes

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.matched import Matched


def print_keypoints(
    console: Console, persons: Sequence[Matched], names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each keypoint; the same for JSON."""
    from rtmpose_sdk.benchmarks.metrics.per_keypoint import PCK_SHARE, keypoint_errors

    table = Table("keypoint", "labelled", f"PCK@{PCK_SHARE}", "median px", "median %", "OKS")
    errors = keypoint_errors(persons, names)
    for row in errors:
        table.add_row(
            row.name, str(row.labelled), f"{row.pck:.3f}", f"{row.median_px:.1f}",
            f"{row.median_percent:.1f}", f"{row.oks:.3f}",
        )  # fmt: skip
    console.print(table)
    return [_plain(row) for row in errors]


def check_details(pair: tuple[str, str] | None, names: Sequence[str], plot: Path | None) -> None:
    """Fail before the work, not after it.

    Raises:
        InputError: a keypoint that is none of `names`.
        MissingExtraError: matplotlib is wanted and not installed.
    """
    wrong = [name for name in pair or () if name not in names]
    if wrong:
        raise InputError(f"--normalize-by {wrong[0]}: no such keypoint; there are {', '.join(names)}")
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "plot", "Plotting the reliability")


def print_distances(
    console: Console, persons: Sequence[Matched], names: Sequence[str], pair: tuple[str, str] | None
) -> dict[str, Any]:
    """PCK, AUC and, with a pair of keypoints, NME; the same for JSON."""
    from rtmpose_sdk.benchmarks.metrics import distances
    from rtmpose_sdk.benchmarks.metrics.auc import LARGEST, auc
    from rtmpose_sdk.benchmarks.metrics.nme import nme
    from rtmpose_sdk.benchmarks.metrics.pck import THRESHOLD, pck

    errors = distances.distances(persons)
    share = pck(errors, distances.box_sides(persons))
    area = auc(errors)
    found = {f"PCK@{THRESHOLD}": share, f"AUC to {LARGEST:.0f} px": area}
    said = f"PCK@{THRESHOLD} of the box's longer side {share:.3f}, AUC to {LARGEST:.0f} px {area:.3f}"
    if pair is not None:
        gaps = distances.between(persons, names.index(pair[0]), names.index(pair[1]))
        found[f"NME by {pair[0]} to {pair[1]}"] = nme(errors, gaps)
        said += f", NME by {pair[0]} to {pair[1]} {nme(errors, gaps):.3f}"
    console.print(said, soft_wrap=True)
    return finite(found)


def print_calibration(console: Console, persons: Sequence[Matched]) -> dict[str, Any]:
    """The bins and the expected calibration error; the same for JSON."""
    from rtmpose_sdk.benchmarks.metrics.calibration import CORRECT, calibration

    found = calibration(persons)
    table = Table("confidence", "keypoints", "mean", "right")
    for row in found.bins:
        span = f"{row.low:.1f}-{row.high:.1f}"
        table.add_row(span, str(row.keypoints), f"{row.confidence:.3f}", f"{row.right:.3f}")
    console.print(table)
    console.print(
        f"expected calibration error {found.ece:.3f}; right: OKS term {CORRECT} or better", soft_wrap=True
    )
    return {"expected calibration error": found.ece, "bins": [_plain(row) for row in found.bins]}


def _plain(row: Any) -> dict[str, Any]:
    return finite(row._asdict())


def finite(figures: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}


def plot_reliability(persons: Sequence[Matched], file: Path) -> None:
    """What `print_calibration` says, as a picture.

    Raises:
        OutputError: it cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from rtmpose_sdk.benchmarks.metrics.calibration import calibration

    found = calibration(persons)
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], "--", color="grey", label="as confident as right")
    axes.bar(
        [(b.low + b.high) / 2 for b in found.bins], [b.right for b in found.bins], width=0.09, label="right"
    )
    axes.plot(
        [b.confidence for b in found.bins], [b.right for b in found.bins], "o-", color="black", markersize=4
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share that is right")
    axes.set_title(f"expected calibration error {found.ece:.3f}")
    axes.legend()
    data = io.BytesIO()
    figure.savefig(data, format=file.suffix[1:].lower())
    pyplot.close(figure)
    write_bytes(file, data.getvalue())
