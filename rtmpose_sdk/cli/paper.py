"""`rtmpose-bench --paper`: the paper's own rows, timed here."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from rtmpose_sdk.benchmarks.report_files import ReportFiles
from rtmpose_sdk.cli.options import detector_meant, limit_opencv
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.images import write_bytes
from rtmpose_sdk.predictor import Predictor
from rtmpose_sdk.zoo import DEFAULT_DETECTOR, UNSAID_POSE, find_model


def time_paper(
    picture: NDArray[np.uint8],
    box: Sequence[float],
    detector: str,
    device: str,
    threads: int,
    engine: str | None,
    precision: str | None,
    warm_up: int,
    runs: int,
    machine: dict[str, Any],
    files: ReportFiles,
) -> None:
    """Build the networks with random weights, time them, print and write the tables.

    Raises:
        MissingExtraError: the extra `export` is not installed.
        RTMPoseError: see `rtmpose_sdk.runtimes.open_runtime`.
    """
    from rtmpose_sdk.benchmarks import paper
    from rtmpose_sdk.benchmarks.report_html import paper_page
    from rtmpose_sdk.benchmarks.report_text import machine_line
    from rtmpose_sdk.exporters.resize import export_resized
    from rtmpose_sdk.exporters.untrained import export_untrained

    detector = detector_meant(UNSAID_POSE, detector) or DEFAULT_DETECTOR
    limit_opencv(threads)
    console = Console()
    console.width = max(console.width, paper.TABLE_WIDTH)
    with tempfile.TemporaryDirectory(prefix="rtmpose-paper-") as folder, contextlib.ExitStack() as stack:
        predictors = {}
        networks = list(dict.fromkeys(row.network for row in paper.rows()))
        shown = track(networks, "Networks", console=Console(stderr=True), transient=True)
        for i, network in enumerate(shown):
            file = Path(folder) / f"{i}.onnx"
            export_untrained(*network, file)
            opened = Predictor(file, device, threads=threads, precision=precision, engine=engine)
            predictors[network] = stack.enter_context(opened)
        source: str | Path = detector
        if detector == DEFAULT_DETECTOR:  # bundled for larger pictures than the paper's
            source = Path(folder) / "detector.onnx"
            export_resized(find_model(detector), paper.DETECTOR_SIZE, source)
        finder = stack.enter_context(
            Detector(source, device, threads=threads, precision=precision, engine=engine)
        )
        found = paper.time_rows(predictors, finder, picture, box, warm_up, runs)
        runtime = opened.runtime
    compared = paper.compare_rows(found)
    for table in paper.tables(compared):
        console.print(table)
    took = next(iter(found.values())).runs
    setting = {
        "engine": runtime.engine,
        "device": str(runtime.device),
        "precision": runtime.precision or "fp32",
        "threads": runtime.threads,
        "weights": "random",
        "detector": "{} {}x{}".format(detector, *finder.card.input_size),
        "warm_up": warm_up,
        "runs": took,
    }
    lines = [", ".join(f"{k} {v}" for k, v in setting.items()), machine_line(machine)]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    if files.json is not None:
        content = {"rtmpose_bench_paper": 1, "machine": machine, "setting": setting, "rows": compared}
        write_bytes(files.json, json.dumps(content, indent=1).encode())
    if files.markdown is not None:
        write_bytes(files.markdown, paper.markdown(compared).encode())
    if files.html is not None:
        write_bytes(files.html, paper_page(paper.cells(compared), lines).encode())
