"""The rows of the paper's Tables 8, 10 and 11 that are RTMPose, timed here beside the paper's figures.

Absolute times are of a machine; what one model takes against another should hold on any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from rtmpose_sdk.benchmarks.latency import Latency, measure
from rtmpose_sdk.benchmarks.report_html import paper_tables
from rtmpose_sdk.benchmarks.rounds import rounds_shown
from rtmpose_sdk.detector import Detector
from rtmpose_sdk.normalize import Normalizer
from rtmpose_sdk.predictor import Predictor

TABLE_WIDTH = 112
KEYPOINT_SETS = {"COCO": "coco17", "COCO-WholeBody": "coco_wholebody133"}
DETECTOR_SIZE = (320, 320)
"""Of Table 11's RTMDet-nano, (width, height) px."""
REFERENCE = "RTMPose-m"
"""Ratios are to this model's row on COCO in the same table."""


class Network(NamedTuple):
    """A network of the paper.

    Attributes:
        name: for example "rtmpose-m".
        keypoint_set: name of the SDK's.
        input_size: (width, height) px.
    """

    name: str
    keypoint_set: str
    input_size: tuple[int, int]


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        table: its title.
        label: model, data and input as the paper has them.
        network: what runs.
        whole: with a detector in front.
        paper: ms by column.
    """

    table: str
    label: str
    network: Network
    whole: bool
    paper: dict[str, float]

    @property
    def step(self) -> str:
        """Name of what is timed; rows of several tables share it."""
        return f"{'pipeline' if self.whole else 'network'} {self.network}"

    @property
    def is_reference(self) -> bool:
        """The row that the others of its table are compared with."""
        return self.network.name == REFERENCE.lower() and self.network.keypoint_set == "coco17"


def rows() -> list[Row]:
    """All rows of RTMPose."""
    found = []
    for table in paper_tables()["tables"]:
        columns = table["columns"]
        for values in table["rows"]:
            row = dict(zip(columns, values, strict=True))
            if not row["model"].startswith("RTMPose"):
                continue
            height, width = map(int, row["input"].split("x"))
            data = row.get("data", "COCO")
            network = Network(row["model"].lower(), KEYPOINT_SETS[data], (width, height))
            label = f"{row['model']} {row['input']}" + (f" {data}" if data != "COCO" else "")
            times = {name: row[name] for name in columns if name.endswith("ms")}
            found.append(Row(table["title"], label, network, "pipelines" in table["title"], times))
    return found


def time_rows(
    predictors: Mapping[Network, Predictor],
    detector: Detector,
    picture: NDArray[np.uint8],
    box: Sequence[float],
    warm_up: int,
    runs: int,
) -> dict[str, Latency]:
    """Every network on one crop, and every pipeline on the picture with one person, interleaved.

    A pipeline is a detection and one pose: the box is given, as the poses of random weights find nobody.
    """
    boxes = np.array([box], np.float32)
    steps: dict[str, Any] = {}
    for row in rows():
        predictor = predictors[row.network]
        if row.whole:
            steps[row.step] = lambda p=predictor: (detector(picture), p(picture, boxes))
        else:
            width, height = predictor.card.input_size
            crop = np.zeros((1, height, width, 3), np.uint8)
            steps[row.step] = predictor.runtime.bare(Normalizer(predictor.card)(crop))
    with rounds_shown(warm_up + runs) as shown:
        return measure(steps, warm_up, runs, after_round=shown)


def compare_rows(found: Mapping[str, Latency]) -> list[dict[str, Any]]:
    """Each row's ms here and in the paper, and the ratios to RTMPose-m in both."""
    every = rows()
    reference = {row.table: row for row in every if row.is_reference}
    return [
        {
            "table": row.table,
            "row": row.label,
            "ms": found[row.step].as_dict(),
            "ratio": found[row.step].p50 / found[reference[row.table].step].p50,
            "paper ms": row.paper,
            "paper ratio": {k: v / reference[row.table].paper[k] for k, v in row.paper.items()},
        }
        for row in every
    ]


def cells(compared: Sequence[dict[str, Any]]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, names of the columns and cells of each of the paper's tables."""
    found: dict[str, tuple[str, list[str], list[list[str]]]] = {}
    ratio = f"/ {REFERENCE[-1]}"
    for row in compared:
        columns = ["", "here, ms", ratio, *(n for k in row["paper ms"] for n in (f"paper: {k}", ratio))]
        _, _, lines = found.setdefault(row["table"], (row["table"], columns, []))
        line = [row["row"], f"{row['ms']['p50']:.2f}", f"{row['ratio']:.2f}"]
        for key, value in row["paper ms"].items():
            line += [f"{value:g}", f"{row['paper ratio'][key]:.2f}"]
        lines.append(line)
    return list(found.values())


def tables(compared: Sequence[dict[str, Any]]) -> list[Table]:
    """For a terminal."""
    made = []
    for title, columns, lines in cells(compared):
        table = Table(title=title, title_justify="left")
        for name in columns:
            table.add_column(name, no_wrap=not name)
        for line in lines:
            table.add_row(*line)
        made.append(table)
    return made


def markdown(compared: Sequence[dict[str, Any]]) -> str:
    """The same for a file."""
    text = []
    for title, columns, lines in cells(compared):
        text += ["", f"## {title}", "", "| " + " | ".join(columns) + " |"]
        text += ["| --- " + "| ---: " * (len(columns) - 1) + "|"]
        text += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(text).strip() + "\n"
