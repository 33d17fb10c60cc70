"""Do we give what MMDeploy's own SDK gives, from the same folder and the same pictures?

pip install mmdeploy-runtime
python -m rtmpose_sdk.benchmarks.mmdeploy_parity --images DIR --detector FOLDER --pose FOLDER
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtmpose_sdk import Detector, Predictor, read_image
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import pictures_in

Floats = NDArray[np.float32]
LEAST_SCORE = 0.3
"""Boxes below it are no persons for either."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Parity(NamedTuple):
    """Differences between both, px of the picture.

    Attributes:
        compared: numbers of keypoints, or of boxes.
        median, p99, worst: differences.
        missing: boxes that only one of the two has.
    """

    compared: int
    median: float
    p99: float
    worst: float
    missing: int = 0


def import_peer() -> Any:
    """MMDeploy's SDK.

    Raises:
        InputError: it is not installed.
    """
    try:
        import mmdeploy_runtime
    except ImportError:
        raise InputError("the peer is not installed; get it with: pip install mmdeploy-runtime") from None
    return mmdeploy_runtime


def detector_parity(folder: Path, pictures: list[Path]) -> Parity:
    """Largest difference of the sides of each box that both find."""
    peer = import_peer().Detector(model_path=str(folder), device_name="cpu", device_id=0)
    shifts, missing = [], 0
    with Detector(folder, threads=1, score_threshold=LEAST_SCORE) as ours:
        for path in pictures:
            picture = read_image(path)
            mine = ours(picture).boxes
            dets, labels, _ = peer(picture)
            theirs = dets[(labels == 0) & (dets[:, 4] >= LEAST_SCORE), :4]
            if not len(mine) or not len(theirs):
                missing += len(mine) + len(theirs)
                continue
            apart = np.abs(mine[:, None] - theirs[None]).max(axis=2)
            near = apart.min(axis=1)
            alike = near < 0.25 * (mine[:, 2:] - mine[:, :2]).max(axis=1)
            shifts.extend(near[alike].tolist())
            missing += int((~alike).sum()) + max(0, len(theirs) - int(alike.sum()))
    return _summary(np.array(shifts), missing)


def pose_parity(folder: Path, pictures: list[Path], detector: Path | str) -> tuple[Parity, Parity]:
    """Shifts of keypoints in the same boxes: of all, and of those that are sure in both."""
    peer = import_peer().PoseDetector(model_path=str(folder), device_name="cpu", device_id=0)
    every: list[float] = []
    sure: list[float] = []
    with (
        Detector(detector, threads=1, score_threshold=LEAST_SCORE) as find,
        Predictor(folder, threads=1) as ours,
    ):
        for path in pictures:
            picture = read_image(path)
            boxes = find(picture).boxes
            if not len(boxes):
                continue
            mine = ours(picture, boxes)
            theirs = peer(picture, boxes)
            shift = np.abs(mine.keypoints - theirs[..., :2]).max(axis=2)
            every.extend(shift.ravel().tolist())
            sure.extend(shift[mine.confidences >= 0.8].tolist())
    return _summary(np.array(every)), _summary(np.array(sure))


def _summary(shifts: NDArray[np.float64], missing: int = 0) -> Parity:
    if not len(shifts):
        return Parity(0, 0.0, 0.0, 0.0, missing)
    return Parity(
        len(shifts),
        float(np.median(shifts)),
        float(np.percentile(shifts, 99)),
        float(shifts.max()),
        missing,
    )


@app.command()
def parity(
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    detector: Annotated[Path, typer.Option(help="MMDeploy folder of a detector.")],
    pose: Annotated[Path | None, typer.Option(help="MMDeploy folder of a pose model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most pictures.")] = 100,
) -> None:
    """Boxes and keypoints of MMDeploy's SDK against ours."""
    pictures = pictures_in(images)[:limit]
    rows = {"boxes": detector_parity(detector, pictures)}
    if pose is not None:
        rows["keypoints"], rows["keypoints, sure"] = pose_parity(pose, pictures, detector)
    table = Table("px of the picture", "compared", "median", "99 %", "worst", "only in one")
    for name, row in rows.items():
        table.add_row(
            name,
            str(row.compared),
            f"{row.median:.3f}",
            f"{row.p99:.3f}",
            f"{row.worst:.3f}",
            str(row.missing),
        )
    Console().print(table)


if __name__ == "__main__":
    run(app)
