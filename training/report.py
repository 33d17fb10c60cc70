"""How did a run go? Curves, the AP table, and the persons that the artifact gets most wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.coco import labelled, read_annotations
from rtmpose_sdk.drawing import draw_poses
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image, write_bytes, write_image
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.sheets import contact_sheet
from rtmpose_sdk.training.config import RunConfig
from rtmpose_sdk.training.logs import FIGURES, STEPS, read_log

REPORT, CURVES, WORST = "report.md", "curves.png", "worst.jpg"
_WORST = 24
_TILE = 192


def write_report(folder: Path, config: RunConfig, artifact: Path) -> Path:
    """Write report.md, curves.png and, for a pose model with validation data, worst.jpg.

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
            f"Averaged weights on `{Path(config.val_annotations).name}`, measured as `rtmpose eval` does:",
            "",
            "| step | " + " | ".join(names) + " |",
            "| ---: |" + " ---: |" * len(names),
        ]
        for i, step in enumerate(figures["step"]):
            mark = " (shipped)" if i == best else ""
            row = " | ".join(f"{figures[name][i]:.3f}" for name in names)
            lines.append(f"| {step:.0f}{mark} | {row} |")
    else:
        lines.append("No validation data was given, so no AP is known: the last average was exported.")
    lines += ["", f"![Curves]({CURVES})", ""]
    if config.task == "pose" and config.val_annotations:
        _write_worst(config, artifact, folder / WORST)
        lines += [
            f"The {_WORST} worst persons by mean distance, in box sizes:",
            "",
            f"![Worst]({WORST})",
        ]
    write_bytes(folder / REPORT, ("\n".join(lines) + "\n").encode())
    return folder / REPORT


def write_curves(folder: Path, file: Path) -> None:
    """Loss, learning rate and figures over steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, figures = read_log(folder / STEPS), read_log(folder / FIGURES)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    plain = ("step", "rate", "gradient", "steps_per_second", "loss")
    for name in [n for n in steps if n not in plain]:
        left.plot(steps["step"], steps[name], label=name, linewidth=1)
    left.set(xlabel="step", ylabel="loss")
    if steps:
        left.legend(frameon=False)
    for name in ("AP", "AP50", "AP75"):
        if name in figures:
            right.plot(figures["step"], figures[name], label=name, marker=".")
    right.set(xlabel="step", ylabel="AP of the averaged weights", ylim=(0, None))
    if figures:
        right.legend(frameon=False)
    part = file.with_name(f".{file.name}.part")
    figure.savefig(part, format="png", dpi=110)
    part.replace(file)


def _write_worst(config: RunConfig, artifact: Path, file: Path) -> None:
    """Persons with the largest mean distance between prediction (drawn) and annotation (white crosses)."""
    content = read_annotations(Path(config.val_annotations))
    files = {row["id"]: row["file_name"] for row in content["images"]}
    rows = [a for a in content["annotations"] if labelled(a) and not a.get("iscrowd")]
    found: list[tuple[float, NDArray[np.uint8]]] = []
    with Predictor(artifact, threads=1) as predictor:
        for row in sorted(rows, key=lambda r: r["image_id"]):
            picture = read_image(Path(config.val_images) / files[row["image_id"]])
            x, y, w, h = row["bbox"]
            box = np.array([[x, y, x + w, y + h]], np.float32)
            pose = predictor(picture, box)
            truth = np.array(row["keypoints"], np.float32).reshape(-1, 3)
            known = truth[:, 2] > 0
            error = np.linalg.norm(pose.keypoints[0, known] - truth[known, :2], axis=1).mean()
            relative = float(error / np.sqrt(w * h))
            if len(found) < _WORST or relative > found[-1][0]:
                found.append((relative, _tile(picture, box, pose, truth[known, :2])))
                found = sorted(found, key=lambda f: -f[0])[:_WORST]
    write_image(file, contact_sheet([tile for _, tile in found], [f"{v:.2f}" for v, _ in found]))


def _tile(
    picture: NDArray[np.uint8], box: NDArray[np.float32], pose: PoseResult, truth: NDArray[np.float32]
) -> NDArray[np.uint8]:
    crops = crop_boxes(picture, box, (_TILE, _TILE), 1.25)
    size = (_TILE, _TILE)
    moved = PoseResult(
        (pose.boxes.reshape(1, 2, 2) - crops.origins[:, None]).reshape(1, 4) / crops.scales[0],
        pose.box_scores,
        (pose.keypoints - crops.origins[:, None]) / crops.scales[0],
        pose.keypoint_scores,
        pose.confidences,
        pose.keypoint_set,
        size,
    )
    drawn = draw_poses(crops.images[0], moved, min_confidence=0.0)
    for x, y in (truth - crops.origins[0]) / crops.scales[0]:
        cv2.drawMarker(drawn, (int(x), int(y)), (255, 255, 255), cv2.MARKER_CROSS, 7, 1, cv2.LINE_AA)
    return drawn
