"""`rtmpose compare`: do two artifacts, or two engines, agree? Where do they differ most?"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtmpose_sdk.cli.options import (
    Threads,
    detector_meant,
    detector_option,
    limit_opencv,
    parse_size,
    to_file,
)
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import DRAWN_SUFFIXES
from rtmpose_sdk.pipeline import DEFAULT_DETECTION_THRESHOLD

if TYPE_CHECKING:
    from rtmpose_sdk.benchmarks.accuracy import Select
    from rtmpose_sdk.benchmarks.compare import BoxPair, Comparison, PosePair, Rows
    from rtmpose_sdk.detector import Detector
    from rtmpose_sdk.predictor import Predictor

_TILE = 320
_SHEET = 12
_TIMED = 40
"""Pictures that detectors are timed on, each for its share of the runs."""
_COLORS = ((80, 220, 80), (220, 60, 220))
"""Of a and of b, BGR."""


def compare(
    a: Annotated[str, typer.Argument(help="A model: name, artifact, SDK folder.")],
    b: Annotated[str, typer.Argument(help="The other one; the same file where the engines differ.")],
    images: Annotated[Path, typer.Option(help="Folder with pictures.")],
    annotations: Annotated[
        Path | None, typer.Option(help="COCO json of them: boxes of persons, and AP of both.")
    ] = None,
    detector: Annotated[
        str | None, detector_option("the boxes of --annotations, else each whole picture")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most pictures; default: all.")] = None,
    engine_a: Annotated[str | None, typer.Option(help="Engine of the first: openvino for ONNX.")] = None,
    engine_b: Annotated[str | None, typer.Option(help="Of the second.")] = None,
    precision_a: Annotated[str | None, typer.Option(help="Arithmetic of the first: fp32, bf16.")] = None,
    precision_b: Annotated[str | None, typer.Option(help="Of the second.")] = None,
    device_a: Annotated[str, typer.Option(help="Device of the first.")] = "cpu",
    device_b: Annotated[str, typer.Option(help="Of the second.")] = "cpu",
    size_a: Annotated[
        str | None, typer.Option(help="Input of the first, px: 256, 416x256; of detectors with open sides.")
    ] = None,
    size_b: Annotated[str | None, typer.Option(help="Of the second.")] = None,
    detection_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least score of a person box; AP takes lower ones, too.")
    ] = DEFAULT_DETECTION_THRESHOLD,
    threads: Threads = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Also time both networks, interleaved: 50 + 200 runs.")
    ] = False,
    draw: Annotated[
        Path | None,
        to_file(help="Picture of the persons (pose) or pictures that differ most.", kinds=DRAWN_SUFFIXES),
    ] = None,
) -> None:
    """Compare two artifacts, or one on two engines: outputs, keypoints, boxes, AP, time."""
    from rtmpose_sdk.artifacts import artifact_card
    from rtmpose_sdk.benchmarks.accuracy import check_measurable
    from rtmpose_sdk.benchmarks.compare import compare_poses, find_rows
    from rtmpose_sdk.benchmarks.compare_boxes import compare_boxes
    from rtmpose_sdk.benchmarks.subset import named
    from rtmpose_sdk.detector import Detector
    from rtmpose_sdk.predictor import Predictor

    limit_opencv(threads)
    rows = find_rows(images, annotations, limit)
    cards = [artifact_card(name) for name in (a, b)]
    tasks = [card.task for card in cards]
    if tasks[0] != tasks[1]:
        raise InputError(f"{a} is for task {tasks[0]}, {b} for {tasks[1]}; expected two of a kind")
    sizes = [None if said is None else parse_size(said, square=True) for said in (size_a, size_b)]
    if tasks[0] == "detect" and detector is not None:
        raise InputError(
            f"--detector {detector}: gives the boxes that poses are compared in, and {a} and {b} are "
            "detectors; leave it out"
        )
    if tasks[0] != "detect" and any(sizes):
        raise InputError("--size-a and --size-b are of detectors; a pose network has one input size")
    names = {str(row.path.relative_to(images)) for row in rows}
    select = None if limit is None else functools.partial(named, names=names)
    if annotations is not None:
        for card in cards:
            keypoints = card.keypoints() if card.task == "pose" else None
            check_measurable(annotations, images, keypoints, select=select)
    settings: list[dict[str, Any]] = [
        {"device": device_a, "threads": threads, "precision": precision_a, "engine": engine_a},
        {"device": device_b, "threads": threads, "precision": precision_b, "engine": engine_b},
    ]
    console, least, errors = Console(), detection_threshold, Console(stderr=True)
    table = Table("figure", "a", "b")
    # What is no terminal would get an empty line of it.
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        if tasks[0] == "detect":
            with (
                Detector(a, **settings[0], score_threshold=least, input_size=sizes[0]) as one,
                Detector(b, **settings[1], score_threshold=least, input_size=sizes[1]) as other,
            ):
                found = compare_boxes(one, other, rows, lambda r: progress.track(r))
                _describe(table, one, other)
                _accuracy(table, one, other, found, annotations, images, select, progress)
                if speed:
                    _speed_of_detectors(table, one, other, rows)
        else:
            finder = None
            if (meant := detector_meant(a, detector)) is not None:
                finder = Detector(meant, threads=threads, score_threshold=least)
            with Predictor(a, **settings[0]) as first, Predictor(b, **settings[1]) as second:
                found = compare_poses(first, second, rows, finder, lambda r: progress.track(r))
                _describe(table, first, second)
                _accuracy(table, first, second, found, annotations, images, select, progress)
                if speed:
                    _speed(table, first, second)
    console.print(table)
    console.print(_differences(found, tasks[0]))
    if draw is not None:
        if tasks[0] == "pose":
            kind, drawn = "persons", _draw(found.pairs[:_SHEET], draw)
        else:
            kind, drawn = "pictures", _draw_boxes(found.pictures[:_SHEET], draw)
        told = f"the {kind} that differ most, a in green, b in magenta"
        told = told if drawn else "not drawn, outputs are finite on no picture"
        # Names of files may hold brackets, which are no markup.
        console.print(f"{draw}: {told}", markup=False, soft_wrap=True)


def _describe(table: Table, a: Predictor | Detector, b: Predictor | Detector) -> None:
    table.add_row("engine", a.runtime.engine, b.runtime.engine)
    for what in ("device", "threads"):
        table.add_row(what, *(str(getattr(m.runtime, what)) for m in (a, b)))
    table.add_row("input", *("{}x{}".format(*m.card.input_size) for m in (a, b)))
    table.add_row("artifact", *(m.card.precision for m in (a, b)))
    table.add_row("arithmetic", *(m.runtime.arithmetic for m in (a, b)))


def _accuracy(
    table: Table,
    a: Predictor | Detector,
    b: Predictor | Detector,
    compared: Comparison,
    annotations: Path | None,
    images: Path,
    select: Select | None,
    progress: Progress,
) -> None:
    if annotations is None:
        return
    if any(compared.outputs.not_finite):  # which no decoder takes
        table.add_row("AP", "-", "-")
        return
    from rtmpose_sdk.benchmarks.accuracy import model_accuracy

    found = [
        model_accuracy(model, annotations, images, lambda r: progress.track(r, description="AP"), select)
        for model in (a, b)
    ]
    table.add_row("AP", *(f"{figures['AP']:.4f}" for figures in found))


def _speed(table: Table, a: Predictor, b: Predictor) -> None:
    """Medians of one sample; what OpenCV does is not in them."""
    import numpy as np

    from rtmpose_sdk.benchmarks.latency import measure
    from rtmpose_sdk.normalize import Normalizer

    steps = {}
    for name, model in (("a", a), ("b", b)):
        width, height = model.card.input_size
        picture = np.random.default_rng(0).integers(0, 255, (1, height, width, 3), np.uint8)
        steps[name] = model.runtime.bare(Normalizer(model.card)(picture))
    took = measure(steps)
    table.add_row(
        f"network, p50 ms{_cut_short(took['a'].runs)}", *(f"{took[name].p50:.2f}" for name in steps)
    )
    table.add_row("times as fast as a", "1", f"{took['a'].p50 / took['b'].p50:.2f}")


def _cut_short(runs: int) -> str:
    from rtmpose_sdk.benchmarks.latency import MEASURED_RUNS

    return "" if runs == MEASURED_RUNS else f", stopped after {runs} runs"


def _speed_of_detectors(table: Table, a: Detector, b: Detector, rows: Rows) -> None:
    """Means of the same real pictures, whose shape counts where a letterbox is fitted."""
    import itertools

    from rtmpose_sdk.benchmarks.latency import measure
    from rtmpose_sdk.images import read_image
    from rtmpose_sdk.normalize import Normalizer

    chosen = rows[:: max(len(rows) // _TIMED, 1)][:_TIMED]
    steps = {}
    for name, model in (("a", a), ("b", b)):
        normalize = Normalizer(model.card)
        inputs = (model.letterbox(read_image(row.path))[0] for row in chosen)
        calls = itertools.cycle([model.runtime.bare(normalize(picture[None])) for picture in inputs])
        steps[name] = lambda calls=calls: next(calls)()
    took = measure(steps)
    table.add_row(
        f"network, mean ms of {len(chosen)} pictures{_cut_short(took['a'].runs)}",
        *(f"{took[n].mean:.2f}" for n in steps),
    )
    table.add_row("times as fast as a", "1", f"{took['a'].mean / took['b'].mean:.2f}")


def _differences(found: Comparison, task: str) -> Table:
    table = Table("difference between a and b", "value")
    table.add_row("persons compared", str(found.persons))
    outputs = found.outputs.by_output()
    for name, difference in outputs.items():
        table.add_row(f"{name}: largest difference / largest value of a", f"{difference.largest:.2e}")
    for name, difference in outputs.items():
        table.add_row(f"{name}: mean difference / largest value of a", f"{difference.mean:.2e}")
    if outputs:
        for name, count in zip("ab", found.outputs.not_finite, strict=True):
            table.add_row(f"NaN or infinite values of {name}", str(count))
    unit = "keypoints, px of a's input" if task == "pose" else "sides of boxes, px of the picture"
    for name in ("median", "p99", "worst"):
        table.add_row(f"{unit}: {name}", f"{getattr(found, name):.3f}")
    if task == "pose":
        table.add_row(f"{unit}: p99, {found.ties} ties aside", f"{found.aside_p99:.3f}")
        table.add_row("keypoints with a confidence of 0.3 or more: p99", f"{found.sure_p99:.3f}")
    table.add_row(f"largest of a {'confidence' if task == 'pose' else 'score'}", f"{found.score:.4f}")
    if task == "detect":
        table.add_row("boxes that only a has", str(found.only_a))
        table.add_row("boxes that only b has", str(found.only_b))
    return table


def _draw(pairs: list[PosePair], path: Path) -> bool:
    """Persons, each in a tile; False where there is none."""
    import cv2
    import numpy as np

    from rtmpose_sdk.geometry import crop_boxes
    from rtmpose_sdk.images import read_image, write_image
    from rtmpose_sdk.sheets import contact_sheet

    tiles, captions = [], []
    for pair in pairs:
        picture = read_image(pair.path)
        crops = crop_boxes(picture, pair.a.boxes, (_TILE, _TILE), 1.25)
        tile = crops.images[0]
        for pose, color in ((pair.a, _COLORS[0]), (pair.b, _COLORS[1])):
            points = (pose.keypoints[0] - crops.origins[0]) / crops.scales[0]
            for start, end in pose.keypoint_set.skeleton:
                ends = [tuple(int(v) for v in np.rint(points[i])) for i in (start, end)]
                cv2.line(tile, ends[0], ends[1], color, 1, cv2.LINE_AA)
        tiles.append(tile)
        captions.append(f"{pair.path.name}: median {np.median(pair.shifts):.1f} px")
    if tiles:
        write_image(path, contact_sheet(tiles, captions, 4))
    return bool(tiles)


def _draw_boxes(pairs: list[BoxPair], path: Path) -> bool:
    """Pictures with the boxes of both, each in a tile; False where there is none."""
    import cv2
    import numpy as np

    from rtmpose_sdk.geometry import letterbox
    from rtmpose_sdk.images import read_image, write_image
    from rtmpose_sdk.sheets import contact_sheet

    tiles, captions = [], []
    for pair in pairs:
        tile, factors = letterbox(read_image(pair.path), (_TILE, _TILE), 0)
        for found, color in ((pair.a, _COLORS[0]), (pair.b, _COLORS[1])):
            for box in np.rint(found.boxes / factors).astype(int).tolist():
                cv2.rectangle(tile, tuple(box[:2]), tuple(box[2:]), color, 1, cv2.LINE_AA)
        tiles.append(tile)
        captions.append(f"{pair.path.name}: only a {pair.only_a}, only b {pair.only_b}")
    if tiles:
        write_image(path, contact_sheet(tiles, captions, 4))
    return bool(tiles)
