"""PyTorch model → ncnn (`.param` and `.bin`), through pnnx."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import EngineError, InputError, MissingExtraError, OutputError, RTMPoseError
from rtmpose_sdk.exporters.beside import cannot_write
from rtmpose_sdk.exporters.graph import in_graph, output_names
from rtmpose_sdk.exporters.half_range import with_half_range
from rtmpose_sdk.exporters.ncnn_param import (
    check_converted,
    format_param,
    parse_param,
    with_interface,
    with_safe_end,
)
from rtmpose_sdk.hub.cache import sha256_of

_MINUTES = 10
"""Longer than any network of ours takes: pnnx needs a second for RTMPose-t."""
_ROOM = 1 << 16
"""Bytes, more than a full disk has left."""


def write_ncnn(
    network: nn.Module,
    card: ModelCard,
    path: Path,
    *,
    precision: Literal["fp32", "fp16", "int8"] = "fp16",
    calibration: NDArray[np.uint8] | None = None,
) -> None:
    """Write NAME.param, NAME.bin and NAME.param.card.json.

    The graph takes a normalised tensor (N,3,h,w) float32; the SDK makes it of a picture by the card,
    faster than ncnn would. Boxes are decoded in the graph, their NMS is left to the SDK.

    Args:
        network: the PyTorch model, with its weights.
        card: of the network; the card that is written says what was written: a tensor as input, a full
            letterbox, the precision, and for int8 which layers were left in float.
        path: the `.param`, in a folder that exists.
        precision: of the weights. fp16 is half the file; in what a device computes is chosen when the
            file is opened. int8 is also the arithmetic of its convolutions.
        calibration: int8: (N,h,w,3) uint8 BGR of the card's input size.

    Raises:
        InputError: another suffix, NMS in the graph, int8 without crops, an operator ncnn lacks.
        OutputError: the folder does not exist, or cannot be written to.
        MissingExtraError: pnnx or ncnn is not installed.
        EngineError: pnnx failed.
    """
    if path.suffix != ".param":
        raise InputError(f"{path}: expected a name that ends in .param")
    if card.decoder == "boxes_nms":
        raise InputError("ncnn has no NonMaxSuppression; export the detector without --nms")
    if precision == "int8" and (calibration is None or len(calibration) == 0):
        raise InputError("int8 for ncnn is calibrated on real crops, and none were given (--calibrate)")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: its folder does not exist")
    written = replace(
        card, input_layout="nchw", input_dtype="float32", precision=precision, letterbox="full"
    )
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            trial = Path(folder) / path.name
            _convert(network, written, trial, half=precision != "fp32")
            if precision == "int8":
                from rtmpose_sdk.exporters.ncnn_int8 import quantize_ncnn

                assert calibration is not None
                written = replace(written, float_layers=quantize_ncnn(trial, written, calibration))
            written = replace(written, beside_sha256=sha256_of(trial.with_suffix(".bin")))
            beside = card_beside(trial)
            beside.write_text(written.to_json(), "utf-8")
            # The .param is what is opened: it goes first and comes last, so that no file of the old
            # artifact is ever seen with one of the new.
            path.unlink(missing_ok=True)
            for file in (trial.with_suffix(".bin"), beside, trial):
                file.replace(path.with_name(file.name))
    except RTMPoseError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from None


def _convert(network: nn.Module, card: ModelCard, path: Path, half: bool) -> None:
    """The `.param` and `.bin` of a network; half: weights are stored as fp16."""
    width, height = card.input_size
    example = torch.zeros(1, 3, height, width)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, torch.inference_mode():
        source = Path(folder) / "network.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated; pnnx reads nothing newer
            trace: Any = torch.jit.trace
            traced = trace(in_graph(with_half_range(network), card), (example,), check_trace=False)
            whole = io.BytesIO()  # torch's own writer ends the process where the disk is full
            torch.jit.save(traced, whole)
        source.write_bytes(whole.getvalue())
        _run_pnnx(source, list(example.shape), half)
        layers = parse_param(source.with_suffix(".ncnn.param").read_text("ascii"))
        check_converted(layers)
        names = output_names(card)
        if {blob for layer in layers for blob in layer.outputs} < {f"out{i}" for i in range(len(names))}:
            raise EngineError(f"pnnx converted the network without the outputs {', '.join(names)}")
        layers = with_safe_end(with_interface(layers, card.input_size, names))
        path.write_text(format_param(layers), "ascii")
        path.with_suffix(".bin").write_bytes(source.with_suffix(".ncnn.bin").read_bytes())


def _run_pnnx(source: Path, shape: list[int], half: bool) -> None:
    try:
        import pnnx
    except ImportError:
        raise MissingExtraError("pnnx", "ncnn", "Exporting to ncnn") from None
    command = [
        pnnx.EXEC_PATH,
        source.name,
        f"inputshape={json.dumps(shape, separators=(',', ':'))}f32",
        f"fp16={int(half)}",
    ]
    try:
        done = subprocess.run(
            command,
            cwd=source.parent,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_MINUTES * 60,
            check=False,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"pnnx was still converting after {_MINUTES} minutes") from None
    source.with_name("room").write_bytes(bytes(_ROOM))  # pnnx does not notice a full disk; this does
    if done.returncode != 0 or not source.with_suffix(".ncnn.bin").is_file():
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise EngineError(f"pnnx could not convert the network (code {done.returncode}): {said}")
