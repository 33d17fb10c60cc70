"""A detector of ours with the outputs of MMDeploy's, which other programs read: rtmlib for one.

python -m rtmpose_sdk.exporters.dets detector.onnx dets.onnx
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import onnx
import typer

from rtmpose_sdk.artifacts import artifact_card
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.cli.options import output_file
from rtmpose_sdk.cli.run import run
from rtmpose_sdk.errors import InputError
from rtmpose_sdk.exporters.end2end import suppressed
from rtmpose_sdk.exporters.onnx import save_onnx
from rtmpose_sdk.exporters.onnx_graph import OnnxGraph
from rtmpose_sdk.zoo import find_model

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def with_dets(model: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """The graph, for one picture, with NMS: `dets` (1,M,5), best first, and `labels` (1,M), all 0.

    A row of `dets` is a box, xyxy px of the input, and its score.

    Args:
        model: from `rtmpose-export`, without `--nms`; its input stays as it is.
        card: its card.

    Raises:
        InputError: another kind of model.
    """
    if card.decoder != "boxes":
        raise InputError(f"{card.name}: decoder {card.decoder}; expected boxes, a detector without --nms")
    g = OnnxGraph()
    given = model.graph.input[0]
    sides = [dim.dim_value or dim.dim_param for dim in given.type.tensor_type.shape.dim]
    image = g.input(given.name, card.input_dtype, [1, *sides[1:]])
    boxes, scores = suppressed(g, g.inline(model, "detector/", image), card, card.score_threshold)
    scores, order = g.ops("TopK", 2, scores, g.op("Shape", scores), axis=0)
    dets = g.op("Concat", g.op("Gather", boxes, order), g.op("Unsqueeze", scores, [1]), axis=1)
    g.output("dets", g.op("Unsqueeze", dets, [0]), "float32", [1, "persons", 5])
    labels = g.cast(g.op("Mul", scores, 0.0), "int64")
    g.output("labels", g.op("Unsqueeze", labels, [0]), "int64", [1, "persons"])
    return g.model({})


@app.command()
def main(
    detector: Annotated[str, typer.Argument(help="An ONNX file of rtmpose-export, or a name.")],
    out: Annotated[Path, typer.Argument(help="The file to be written.", callback=output_file)],
) -> None:
    """Give a detector the outputs of MMDeploy's. rtmlib needs one that takes a tensor (--input tensor)."""
    file = find_model(detector)
    card = artifact_card(file)
    if file.suffix != ".onnx":
        raise InputError(f"{file}: expected an ONNX file")
    save_onnx(with_dets(onnx.load(str(file)), card), replace(card, decoder="mmdeploy_dets"), out)


if __name__ == "__main__":
    run(app)
