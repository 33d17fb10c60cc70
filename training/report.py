"""How did a run go? Curves, the AP table, and what the artifact gets most wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.logs import FIGURES, STEPS, read_log
from rtmpose_sdk.training.persons import Source
from rtmpose_sdk.training.worst_persons import write_worst_persons
from rtmpose_sdk.training.worst_pictures import SCORE_THRESHOLD, write_worst_pictures

_MARKED = 40
"""Rows of a log up to which each is marked: a line of one has no length."""
REPORT, CURVES, WORST = "report.md", "curves.png", "worst.jpg"


def write_report(folder: Path, config: RunConfig, artifact: Path, accuracy: Mapping[str, float]) -> Path:
    """Write report.md, curves.png and, with validation data, worst.jpg.

    Args:
        folder: the run's.
        config: its configuration.
        artifact: what it gave.
        accuracy: the artifact's own figures; those of the log are of averaged weights in PyTorch.

    Returns:
        The report.
    """
    write_curves(folder, folder / CURVES)
    figures = read_log(folder / FIGURES)
    lines = [f"# {config.model}: {folder.name}", "", f"Artifact: `{artifact.name}`", ""]
    if figures:
        names = [name for name in figures if name != "step"]
        # The last of equals, as the loop keeps it.
        ranked = np.array(figures["AP" if config.task == "pose" else "AP50"])
        best = len(ranked) - 1 - int(ranked[::-1].argmax())
        lines += [
            f"Averaged weights on `{Path(config.val_annotations).name}` and, last, the artifact, measured "
            "as `rtmpose eval` does:",
            "",
            "| step | " + " | ".join(names) + " |",
            "| ---: |" + " ---: |" * len(names),
        ]
        for i, step in enumerate(figures["step"]):
            mark = " (shipped)" if i == best else ""
            row = " | ".join(_figure(figures[name][i]) for name in names)
            lines.append(f"| {step:.0f}{mark} | {row} |")
        lines.append(f"| artifact | {' | '.join(_figure(accuracy[name]) for name in names)} |")
    else:
        lines.append("No validation data was given, so no AP is known: the last average was exported.")
    lines += ["", f"![Curves]({CURVES})", ""]
    if config.val_annotations:
        lines += _worst(config, folder, artifact)
    write_bytes(folder / REPORT, ("\n".join(lines) + "\n").encode())
    return folder / REPORT


def _worst(config: RunConfig, folder: Path, artifact: Path) -> list[str]:
    source, shown = (
        Source(Path(config.val_annotations), Path(config.val_images)),
        ["", f"![Worst]({WORST})"],
    )
    if config.task == "pose":
        count = write_worst_persons(source, artifact, folder / WORST)
        if not count:
            return ["Nobody has a visible keypoint."]
        return [
            f"The {count} worst persons by mean distance, in box sizes, with their ids: labels "
            "are white crosses, what the artifact says is drawn in colours:",
            *shown,
        ]
    count = write_worst_pictures(source, artifact, folder / WORST)
    if not count:
        return [f"No person is missed, and no box is false, of boxes with a score of {SCORE_THRESHOLD:g}."]
    return [
        f"The {count} pictures with most mistakes, of boxes with a score of {SCORE_THRESHOLD:g} (a "
        "Pipeline's): missed persons are white, false boxes red:",
        *shown,
    ]


def _figure(value: float) -> str:
    """COCO's -1 is that of nobody: no person of this size."""
    return "-" if value < 0 else f"{value:.3f}"


def write_curves(folder: Path, file: Path) -> None:
    """Loss and, where there are, figures over steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, figures = read_log(folder / STEPS), read_log(folder / FIGURES)
    panels = 2 if figures else 1
    figure = Figure(figsize=(4.5 * panels, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, *right = figure.subplots(1, panels, sharex=True, squeeze=False)[0]
    plain = ("step", "rate", "gradient", "steps_per_second", "loss")
    for name in [n for n in steps if n not in plain]:
        marker = "." if len(steps["step"]) <= _MARKED else ""
        left.plot(steps["step"], steps[name], label=name, linewidth=1, marker=marker)
    left.set(xlabel="step", ylabel="loss")
    if steps:
        left.legend(frameon=False)
    for axes in right:
        for name in ("AP", "AP50", "AP75"):
            if name in figures:
                axes.plot(figures["step"], figures[name], label=name, marker=".")
        axes.set(xlabel="step", ylabel="AP of the averaged weights", ylim=(0, None))
        axes.legend(frameon=False)
    part = file.with_name(f".{file.name}.part")
    figure.savefig(part, format="png", dpi=110)
    part.replace(file)
