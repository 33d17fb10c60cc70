"""How many multiply-adds has one run of an ONNX file? From its graph alone."""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def multiply_adds(file: Path) -> int | None:
    """Those of convolutions and matrix products, for one input (batch 1).

    Counted in a process of its own, once for a file: the graph would raise this process's peak of memory.

    None where they cannot be told: not ONNX, the package `onnx` is absent or cannot read it, or a shape
    stays open.
    """
    if file.suffix.lower() != ".onnx" or find_spec("onnx") is None:
        return None
    return _counted(file, file.stat().st_mtime_ns)


@functools.cache
def _counted(file: Path, written: int) -> int | None:
    """The count of a file that was written at that time."""
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(file)],
        env={**os.environ, **paths},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    found: int | None = json.loads(done.stdout) if done.returncode == 0 else None
    return found


def _count(file: Path) -> int | None:
    import onnx

    model = onnx.load(str(file))
    for value in model.graph.input:
        for batch in value.type.tensor_type.shape.dim[:1]:
            if batch.dim_param:
                batch.Clear()
                batch.dim_value = 1
    for value in (*model.graph.output, *model.graph.value_info):
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {v.name: _shape(v) for v in (*graph.input, *graph.value_info, *graph.output)}
    weights = {t.name: list(t.dims) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            weights[node.output[0]] = list(node.attribute[0].t.dims)
    total = 0
    for node in graph.node:
        out = shapes.get(node.output[0]) if node.output else None
        if node.op_type == "Conv":
            kernel = weights.get(node.input[1]) or shapes.get(node.input[1])
            if not out or not kernel:
                return None
            total += math.prod(out) * math.prod(kernel[1:])
        elif node.op_type == "ConvTranspose":
            kernel = weights.get(node.input[1]) or shapes.get(node.input[1])
            given = shapes.get(node.input[0])
            if not given or not kernel:
                return None
            total += math.prod(given) * math.prod(kernel[1:])
        elif node.op_type in ("MatMul", "Gemm"):
            left = weights.get(node.input[0]) or shapes.get(node.input[0])
            if not out or not left:
                return None
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            total += math.prod(out) * left[-2 if transposed else -1]
    return total


def _shape(value: Any) -> list[int] | None:
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return dims if dims and all(dims) else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_count(Path(sys.argv[1]))))
