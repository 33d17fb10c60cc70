"""An ncnn network in int8: the convolutions, per channel, in the layout that ncnn's ncnn2int8 writes.

ncnn's tools (ncnn2table, ncnn2int8) are in no package of PyPI or Debian, so the file is rewritten here.
https://github.com/Tencent/ncnn/wiki/quantized-int8-inference
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import MissingExtraError, ModelFileError
from rtmpose_sdk.exporters.ncnn_param import NcnnLayer, format_param, parse_param
from rtmpose_sdk.normalize import Normalizer

Array = NDArray[Any]

_TAG_FLOAT, _TAG_HALF, _TAG_INT8 = 0, 0x01306B47, 0x000D4B38
"""What stands before weights in a `.bin`."""
_INT8_TERM = "8"
_PER_CHANNEL = "2"
_LEVELS = 127
_PROBES = 8
"""Crops that each layer's error is measured on; they are not calibrated with."""
_ERROR_BUDGET = 0.01
"""Mean squared error of the outputs / their mean square, that int8 may cost."""
_BINS = 2048
_CLIPS = np.linspace(0.3, 1.0, 36)
"""Parts of the largest value that are tried as an activation's range."""


def quantize_ncnn(path: Path, card: ModelCard, calibration: NDArray[np.uint8]) -> tuple[str, ...]:
    """Rewrite a float `.param` and `.bin` in int8; attention, depthwise and costly layers stay in float.

    Args:
        path: the `.param`.
        card: of the network.
        calibration: (N,h,w,3) uint8 BGR; the last few choose the layers, the others the ranges.

    Returns:
        Names of convolutions that stay in float because int8 there costs too much: each is measured
        alone, and those with the largest error leave until the sum of the rest is within a budget.

    Raises:
        MissingExtraError: ncnn is not installed.
    """
    try:
        import ncnn
    except ImportError:
        raise MissingExtraError("ncnn", "ncnn", "Calibrating int8 for ncnn") from None
    layers = parse_param(path.read_text("ascii"))
    weights = path.with_suffix(".bin").read_bytes()
    candidates = [layer for layer in layers if layer.kind == "Convolution"]
    tensors = Normalizer(card)(calibration)
    probes = tensors[-_PROBES:]
    scales = _activation_scales(
        ncnn, path, candidates, tensors[:-_PROBES] if len(tensors) > _PROBES else tensors
    )
    reference = _run(ncnn, path, layers, probes)
    trial = path.with_name("probe.param")

    def error(names: Collection[str]) -> float:
        _write(trial, layers, weights, {name: scales[name] for name in names})
        found = _run(ncnn, trial, layers, probes)
        pairs = zip(reference, found, strict=True)
        total = float(np.mean([np.square(b - a).mean() / np.square(a).mean() for a, b in pairs]))
        return total if math.isfinite(total) else math.inf

    errors = {layer.name: error([layer.name]) for layer in candidates}
    ranked = sorted(errors, key=errors.__getitem__)
    sums = np.cumsum([errors[name] for name in ranked])
    chosen = set(ranked[: int((sums <= _ERROR_BUDGET).sum())])
    _write(path, layers, weights, {name: scales[name] for name in chosen})
    for file in (trial, trial.with_suffix(".bin")):
        file.unlink(missing_ok=True)
    return tuple(layer.name for layer in candidates if layer.name not in chosen)


def _open(engine: Any, path: Path) -> Any:
    net = engine.Net()
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    net.opt.num_threads = 1
    net.opt.lightmode = False  # every blob is kept, so that all can be read after one run
    if net.load_param(str(path)) != 0 or net.load_model(str(path.with_suffix(".bin"))) != 0:
        raise ModelFileError(f"{path}: ncnn cannot read what was just written")
    return net


def _run(engine: Any, path: Path, layers: list[NcnnLayer], tensors: Array) -> list[Array]:
    """All outputs of all crops."""
    used = {blob for layer in layers for blob in layer.inputs}
    names = [blob for layer in layers for blob in layer.outputs if blob not in used]
    net = _open(engine, path)
    found = []
    for tensor in tensors:
        extractor = net.create_extractor()
        mat = engine.Mat(tensor)
        extractor.input("input", mat)
        found += [np.array(extractor.extract(name)[1]) for name in names]
    return found


def _activation_scales(
    engine: Any, path: Path, layers: list[NcnnLayer], tensors: Array
) -> dict[str, float]:
    """127 / range of each convolution's input: the range with the least squared error over the crops."""
    net = _open(engine, path)
    blobs = [layer.inputs[0] for layer in layers]

    def values(tensor: Array) -> list[Array]:
        extractor = net.create_extractor()
        mat = engine.Mat(tensor)
        extractor.input("input", mat)
        return [np.abs(np.array(extractor.extract(blob)[1])).ravel() for blob in blobs]

    largest = np.zeros(len(blobs))
    for tensor in tensors:
        largest = np.maximum(largest, [v.max() for v in values(tensor)])
    histograms = np.zeros((len(blobs), _BINS))
    for tensor in tensors:
        for row, most, found in zip(histograms, largest, values(tensor), strict=True):
            row += np.histogram(found, _BINS, (0, max(most, 1e-6)))[0]
    return {
        layer.name: _LEVELS / _best_range(row, max(most, 1e-6))
        for layer, row, most in zip(layers, histograms, largest, strict=True)
    }


def _best_range(histogram: Array, largest: float) -> float:
    centers = (np.arange(_BINS) + 0.5) * largest / _BINS
    errors = []
    for clip in _CLIPS * largest:
        step = clip / _LEVELS
        rounded = np.minimum(np.rint(centers / step), _LEVELS) * step
        errors.append((histogram * np.square(rounded - centers)).sum())
    return float(_CLIPS[int(np.argmin(errors))] * largest)


def _write(path: Path, layers: list[NcnnLayer], weights: bytes, scales: Mapping[str, float]) -> None:
    """The network with these convolutions in int8, everything else byte for byte as it was."""
    parts: list[bytes] = []
    written: list[NcnnLayer] = []
    place = 0
    for layer in layers:
        size = _weight_bytes(layer, weights, place)
        chunk, place = weights[place : place + size], place + size
        if layer.name in scales:
            chunk = _int8_weights(layer, chunk, scales[layer.name])
            layer = layer.with_parameters({_INT8_TERM: _PER_CHANNEL})
        parts.append(chunk)
        written.append(layer)
    if place != len(weights):
        raise ModelFileError(f"{path}: {len(weights)} bytes of weights, but its layers have {place}")
    path.with_suffix(".bin").write_bytes(b"".join(parts))
    path.write_text(format_param(written), "ascii")


def _weight_bytes(layer: NcnnLayer, data: bytes, place: int) -> int:
    """How many bytes of the `.bin` belong to a layer."""
    if layer.kind in ("Convolution", "ConvolutionDepthWise", "Deconvolution"):
        return _tagged_bytes(data, place, layer.number(6)) + 4 * layer.number(0) * layer.number(5)
    if layer.kind == "MemoryData":
        return 4 * math.prod(max(layer.number(key), 1) for key in (0, 1, 11, 2))
    if layer.kind == "Gemm":
        size = _tagged_bytes(data, place, layer.number(8) * layer.number(9))
        if layer.number(6) and layer.number(10) == 4:
            size += _tagged_bytes(data, place + size, layer.number(8))
        return size
    return 0


def _tagged_bytes(data: bytes, place: int, count: int) -> int:
    tag = int.from_bytes(data[place : place + 4], "little")
    return 4 + (-(-2 * count // 4) * 4 if tag == _TAG_HALF else 4 * count)


def _int8_weights(layer: NcnnLayer, chunk: bytes, activation: float) -> bytes:
    """Weights as int8 with a scale for every output channel, then the bias, then the scales."""
    count, outputs = layer.number(6), layer.number(0)
    size = _tagged_bytes(chunk, 0, count)
    kind = np.float16 if int.from_bytes(chunk[:4], "little") == _TAG_HALF else np.float32
    kernels = np.frombuffer(chunk, kind, count, 4).astype(np.float32).reshape(outputs, -1)
    largest = np.abs(kernels).max(axis=1)
    scales = np.divide(_LEVELS, largest, out=np.ones(outputs, np.float32), where=largest > 0)
    values = np.rint(kernels * scales[:, None]).clip(-_LEVELS, _LEVELS).astype(np.int8).tobytes()
    padding = bytes(-len(values) % 4)
    return b"".join(
        (
            _TAG_INT8.to_bytes(4, "little"),
            values + padding,
            chunk[size:],
            scales.astype("<f4").tobytes(),
            np.array([activation], "<f4").tobytes(),
        )
    )
