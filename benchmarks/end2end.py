"""An end2end file against the Python Pipeline: the same people, the same AP, how much slower?

python -m rtmpose_sdk.benchmarks.end2end pipeline.onnx --images DIR --annotations FILE
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtmpose_sdk.benchmarks.accuracy import Track, evaluate_poses
from rtmpose_sdk.benchmarks.latency import measure
from rtmpose_sdk.benchmarks.posers import one_by_one
from rtmpose_sdk.boxes import iou
from rtmpose_sdk.card import END2END_KEY
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import read_image
from rtmpose_sdk.pipeline import Pipeline
from rtmpose_sdk.results import PoseResult
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, DEFAULT_POSE

Picture = NDArray[np.uint8]
PERSONS = (1, 4)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class EndToEnd:
    """The file on ONNX Runtime, as anybody would call it.

    Args:
        file: an end2end pipeline artifact.
        threads: of the engine.

    Raises:
        InputError: another kind of artifact.
    """

    def __init__(self, file: Path, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        kind = self.session.get_modelmeta().custom_metadata_map.get(END2END_KEY)
        if kind != "pipeline":
            raise InputError(f"{file}: {kind or 'no'} end2end artifact; expected --end2end pipeline")

    def __call__(self, picture: Picture) -> list[NDArray[np.float32]]:
        """boxes, box_scores, keypoints, scores, confidences."""
        found: list[NDArray[np.float32]] = self.session.run(None, {"image": picture})
        return found


@app.command()
def end2end(
    file: Annotated[Path, typer.Argument(help="From rtmpose-export --end2end pipeline.")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    annotations: Annotated[Path, typer.Option(help="COCO keypoint annotations (json).")],
    pose: Annotated[str, typer.Option(help="The pose network in the file.")] = DEFAULT_POSE,
    detector: Annotated[str, typer.Option(help="The detector in the file.")] = DEFAULT_DETECTOR,
    threads: Annotated[int, typer.Option(min=1, help="Threads of both, for the timing.")] = 1,
    warm_up: Annotated[int, typer.Option(min=0, help="Runs before measuring.")] = 50,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs.")] = 200,
) -> None:
    """Compare an end2end file with the Pipeline of the same two networks."""
    cv2.setNumThreads(threads)
    whole = EndToEnd(file, threads)
    with Pipeline(pose, detector, threads=threads) as pipeline:
        with Progress(console=Console(stderr=True), transient=True) as progress:

            def track(rows: Any) -> Any:
                return progress.track(rows, description="pictures")

            _compare(whole, pipeline, annotations, images, track)
        _time(whole, pipeline, annotations, images, warm_up, runs)


def _compare(whole: EndToEnd, pipeline: Pipeline, annotations: Path, images: Path, track: Track) -> None:
    """People, boxes, keypoints, AP."""
    boxes, shifts, alone, count = [np.zeros(1)], [np.zeros(0)], 0, 0
    theirs: dict[int, PoseResult] = {}
    keypoint_set = pipeline.top_down().keypoint_set

    def python(picture: Picture, _: object) -> PoseResult:
        nonlocal alone, count
        ours, found = pipeline(picture), whole(picture)
        # Pictures come in the same order below.
        sizes = (picture.shape[1], picture.shape[0])
        boxes_found, box_scores, keypoints, scores, confidences = found
        theirs[len(theirs)] = PoseResult(
            boxes_found, box_scores, keypoints, scores, confidences, keypoint_set, sizes
        )
        overlap = iou(ours.boxes, found[0])
        pairs = [(i, int(j)) for i, j in np.argwhere(overlap > 0.9) if overlap[i].argmax() == j]
        alone += len(ours) + len(found[0]) - 2 * len(pairs)
        count += len(pairs)
        for i, j in pairs:
            boxes.append(np.abs(ours.boxes[i] - found[0][j]).ravel())
            shifts.append(np.hypot(*(ours.keypoints[i] - found[2][j]).T))
        return ours

    plain = evaluate_poses(one_by_one(python), keypoint_set, annotations, images, False, track)
    given = iter(theirs.values())
    ap = evaluate_poses(one_by_one(lambda *_: next(given)), keypoint_set, annotations, images, False).ap
    moved = np.concatenate(shifts)
    table = Table(f"{plain.pictures} pictures", "end2end against Python")
    table.add_row("boxes that both have, that only one has", f"{count}, {alone}")
    table.add_row("sides of boxes moved, px: largest", f"{np.concatenate(boxes).max():.3f}")
    for name, share in (("median", 50), ("p90", 90), ("p99", 99), ("p99.5", 99.5), ("worst", 100)):
        table.add_row(f"keypoints moved, px: {name}", f"{np.percentile(moved, share):.3f}")
    table.add_row("keypoints the same to 0.001 px", f"{(moved < 1e-3).mean():.2%}")
    table.add_row("AP: Python, end2end", f"{plain.figures['AP']:.4f}, {ap:.4f}")
    Console().print(table)


def _time(
    whole: EndToEnd, pipeline: Pipeline, annotations: Path, images: Path, warm_up: int, runs: int
) -> None:
    """A picture with so many people, turn by turn."""
    from rtmpose_sdk.coco import read_annotations

    table = Table("persons", "picture", "Python, ms", "end2end, ms", "ratio of medians")
    rows = read_annotations(annotations)["images"]
    for persons in PERSONS:
        for row in rows:
            picture = read_image(images / row["file_name"])
            if len(pipeline(picture)) == persons:
                break
        else:
            continue
        steps = {"python": lambda p=picture: pipeline(p), "whole": lambda p=picture: whole(p)}
        found = measure(steps, warm_up, runs)
        ours, theirs = found["python"].p50, found["whole"].p50
        size = f"{picture.shape[1]}x{picture.shape[0]}"
        table.add_row(str(persons), size, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.3f}")
    Console().print(table)


def main() -> None:
    """Entry point."""
    run(app)


if __name__ == "__main__":
    main()
