"""Persons cut out once and kept as uint8, so that no picture is decoded while the network waits.

A canvas is a person's crop at the network's resolution, larger than the network's input by `MARGIN`,
so that shifted, shrunk and turned crops still find their surroundings in it.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtmpose_sdk.errors import DataError, ImageError, OutputError
from rtmpose_sdk.geometry import crop_boxes
from rtmpose_sdk.images import read_image, write_bytes
from rtmpose_sdk.training.persons import Floats, Persons

MARGIN = 1.5
"""Side of a canvas over the side of the network's input."""
_SHOWN = 5


@dataclass(frozen=True)
class Canvases:
    """P canvases and what is known about them.

    Attributes:
        images: (P,h,w,3) uint8 BGR; a memory-mapped file where there are many.
        keypoints: (P,K,2) px of the canvas.
        weights: (P,K), see `Persons`.
        input_size: (width, height) px of the network's input.
        ids: annotation ids.
    """

    images: NDArray[np.uint8]
    keypoints: Floats
    weights: Floats
    input_size: tuple[int, int]
    ids: tuple[int | str, ...]

    def __len__(self) -> int:
        return len(self.images)


def canvas_size(input_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) px of a canvas."""
    return round(input_size[0] * MARGIN), round(input_size[1] * MARGIN)


def canvas_bytes(persons: int, input_size: tuple[int, int]) -> int:
    """Size of all canvases."""
    width, height = canvas_size(input_size)
    return persons * width * height * 3


def cut_canvases(
    persons: Persons,
    input_size: tuple[int, int],
    padding: float,
    file: Path | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Canvases:
    """Cut every person out of their picture.

    Args:
        persons: whom.
        input_size: (width, height) px of the network's input.
        padding: factor on the box's sides (the card's; MMPose 1.25).
        file: where the canvases are kept, memory-mapped, and found again by a resumed run; None keeps
            them in memory.
        track: shows progress over person numbers.

    Raises:
        ImageError: pictures that are missing or broken; names them.
        DataError: `file` was cut of other persons.
        OutputError: there is no room for it.
    """
    width, height = canvas_size(input_size)
    shape = (len(persons), height, width, 3)
    scales, origins = _geometry(persons, (width, height), padding * MARGIN)
    keypoints = (persons.keypoints - origins[:, None]) / scales[:, None, None]
    if file is None:
        images = np.empty(shape, np.uint8)
        _cut(persons, images, padding * MARGIN, track)
    else:
        mark, fingerprint = mark_file(file), _fingerprint(persons, input_size, padding)
        if not file.is_file():
            write_bytes(mark, fingerprint.encode())
            part = file.with_name(file.name + ".part")
            _reserve(part, math.prod(shape))
            _cut(persons, np.memmap(part, np.uint8, "r+", shape=shape), padding * MARGIN, track)
            part.replace(file)
        elif not mark.is_file() or mark.read_text("utf-8") != fingerprint:
            raise DataError(
                f"{file}: was cut of other annotations than the training data has now; restore those to go "
                "on with this run, or begin a new one (--init takes its weights)"
            )
        images = np.memmap(file, np.uint8, "c", shape=shape)
    return Canvases(images, keypoints.astype(np.float32), persons.weights, input_size, persons.ids)


def _reserve(file: Path, size: int) -> None:
    """An empty file of so many bytes that are there: to write into a mapped file on a full disk is a crash.

    Raises:
        OutputError: there is no room.
    """
    try:
        with file.open("wb") as stream:
            stream.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise OutputError(
            f"{file}: cannot be written ({error.strerror}); the crops of all persons take "
            f"{size / 2**30:.1f} GiB. Make room there, and resume; or begin a run with another --out"
        ) from None


def mark_file(canvases: Path) -> Path:
    """Beside the canvases: of which persons they are."""
    return canvases.with_name(canvases.name + ".sha256")


def _fingerprint(persons: Persons, input_size: tuple[int, int], padding: float) -> str:
    """Of everything that a crop and its labels depend on, but for the folder of the pictures."""
    names = [file.name for file in persons.files]
    found = hashlib.sha256(repr((input_size, padding, names, list(persons.ids))).encode())
    for values in (persons.boxes, persons.keypoints, persons.weights):
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


def _geometry(persons: Persons, size: tuple[int, int], padding: float) -> tuple[Floats, Floats]:
    """Scales (P,) and origins (P,2) of crops, as `crop_boxes` has them."""
    sides = persons.boxes[:, 2:] - persons.boxes[:, :2]
    scales = padding * (sides / np.array(size, np.float32)).max(axis=1)
    centers = (persons.boxes[:, :2] + persons.boxes[:, 2:]) / 2
    return scales, centers - scales[:, None] * np.array(size, np.float32) / 2


def _cut(
    persons: Persons,
    images: NDArray[np.uint8],
    padding: float,
    track: Callable[[Iterable[int]], Iterable[int]],
) -> None:
    """Goes on after a broken picture, so that all of them can be named at once."""
    size = (images.shape[2], images.shape[1])
    last: Path | None = None
    broken: dict[Path, str] = {}
    for i in track(range(len(persons))):
        if persons.files[i] != last:
            last = persons.files[i]
            try:
                picture = read_image(last)
            except ImageError as error:
                broken[last] = str(error)
        if last not in broken:
            images[i] = crop_boxes(picture, persons.boxes[i : i + 1], size, padding).images[0]
    if broken:
        raise ImageError(_of_broken(list(broken.values())))


def _of_broken(errors: list[str]) -> str:
    count = len(errors)
    if count == 1:
        return errors[0]
    more = f"; for the others: rtmpose data check --shown {count}" if count > _SHOWN else ""
    return f"{count} pictures cannot be used: {'; '.join(errors[:_SHOWN])}{more}"


def warp_canvases(
    images: NDArray[np.uint8],
    index: NDArray[np.intp],
    matrices: Floats,
    input_size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Network inputs (N,h,w,3) uint8 of some canvases, by OpenCV on the CPU.

    Args:
        images: (P,H,W,3) canvases.
        index: (N,) which of them.
        matrices: (N,2,3), canvas px → input px.
        input_size: (width, height) px.
    """
    out = np.empty((len(index), input_size[1], input_size[0], 3), np.uint8)
    for i, (which, matrix) in enumerate(zip(index, matrices, strict=True)):
        cv2.warpAffine(images[which], matrix, input_size, out[i], cv2.INTER_LINEAR)
    return out


def warp_on_device(images: Tensor, matrices: Tensor, input_size: tuple[int, int]) -> Tensor:
    """The same in one call of `grid_sample`, where the canvases lie: for a GPU.

    Args:
        images: (N,H,W,3) uint8, the canvases of a batch.
        matrices: (N,2,3), canvas px → input px.
        input_size: (width, height) px.

    Returns:
        (N,h,w,3) fp32 in 0...255.
    """
    width, height = input_size
    inverse = torch.linalg.inv(matrices[..., :2])
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=torch.float32),
        torch.arange(width, device=images.device, dtype=torch.float32),
        indexing="ij",
    )
    points = torch.stack([x, y], -1).reshape(1, -1, 2) - matrices[:, None, :, 2]
    places = points @ inverse.transpose(1, 2)
    limits = torch.tensor([images.shape[2] - 1, images.shape[1] - 1], device=images.device)
    grid = (places * 2 / limits - 1).view(-1, height, width, 2)
    sampled = torch.nn.functional.grid_sample(
        images.permute(0, 3, 1, 2).float(), grid, mode="bilinear", align_corners=True
    )
    return sampled.permute(0, 2, 3, 1)
