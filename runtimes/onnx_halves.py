"""Whether an ONNX file computes in fp16, read without the package `onnx`."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

# Numbers of fields in onnx.proto, and of the two types of 16 bits in TensorProto.DataType.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_TYPE = 1, 4
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_HALVES = (10, 16)

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields in protobuf's wire format."""


def computes_in_halves(path: Path) -> bool:
    """Whether a layer takes weights in fp16 or bf16 as they are.

    Weights that are only stored so go through a Cast first. A file that is no ONNX model computes nothing.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(_graph_in_halves(data, *place) for place in _parts(data, 0, len(data), _GRAPH))
    except (IndexError, ValueError):  # cut off, empty, or no protobuf: the engine says it better
        return False


def _graph_in_halves(data: mmap.mmap, start: int, end: int) -> bool:
    halves: set[bytes] = set()
    for tensor in _parts(data, start, end, _INITIALIZER):
        if any(kind in _HALVES for kind, _ in _parts(data, *tensor, _TENSOR_TYPE)):
            halves.update(data[a:b] for a, b in _parts(data, *tensor, _TENSOR_NAME))
    return any(
        data[a:b] in halves
        for node in _parts(data, start, end, _NODE)
        if all(data[a:b] != b"Cast" for a, b in _parts(data, *node, _NODE_TYPE))
        for a, b in _parts(data, *node, _NODE_INPUT)
    )


def _parts(data: mmap.mmap, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    return ((first, last) for number, first, last in _fields(data, start, end) if number == wanted)


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field of a message with its first and last place; a whole number is its own place."""
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value, value
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if wire == _EIGHT_BYTES else 4
        elif wire == _LENGTH:
            length, at = _varint(data, at)
            yield number, at, at + length
            at += length
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
