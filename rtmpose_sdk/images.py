"""Is it a picture, and how does it become (H,W,3) uint8 BGR?"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.errors import ImageError, InputError, OutputError
from rtmpose_sdk.locks import rename

DRAWN_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Kinds that are written; of the others OpenCV takes no colours, or needs a build that has them."""
IMAGE_SUFFIXES = (*DRAWN_SUFFIXES, ".jfif", ".avif", ".jp2", ".ppm", ".pgm")
"""Kinds that are read."""
HEIC_SUFFIXES = (".heic", ".heif")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""ISO 23008-12: what stands behind `ftyp` in phones' pictures."""
LARGEST_SIDE = 32766
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""Neither a stuffed byte (00) nor a restart (D0 to D7), which stand within a scan."""
_JPEG_END = 0xD9
_NAME_KEPT = 50
"""Characters of a file's name that its unfinished one has: a name may have 255 bytes."""


def as_bgr(image: object, origin: str = "image") -> NDArray[np.uint8]:
    """An array as (H,W,3) uint8 BGR. Grey (H,W), (H,W,1) and BGRA (H,W,4) are converted.

    Args:
        image: the array, as OpenCV gives it.
        origin: what to call it in an error.

    Raises:
        ImageError: not an array, not uint8, of another shape, or of zero size.
    """
    if not isinstance(image, np.ndarray):
        given = "None" if image is None else f"a {type(image).__name__}"
        raise ImageError(
            f"{origin} is {given}; expected a numpy array (H,W,3) uint8 BGR{_way_to_array(image)}"
        )
    if image.dtype != np.uint8:
        raise ImageError(
            f"{origin} has dtype {image.dtype.name}; expected uint8 (0-255). Scale it yourself: which "
            "value is white cannot be guessed"
        )
    if image.ndim not in (2, 3):
        raise ImageError(
            f"{origin} has shape {image.shape}; expected (H,W,3), (H,W,4) or (H,W), one picture"
        )
    if image.size == 0:
        raise ImageError(f"{origin} has shape {image.shape}: there is no pixel in it")
    if max(image.shape[:2]) > LARGEST_SIDE:
        raise ImageError(
            f"{origin} has shape {image.shape}; expected sides of at most {LARGEST_SIDE} px, which is what "
            "OpenCV can warp; make it smaller or cut it into parts"
        )
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.ndim == 3 and image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    if image.shape[2] != 3:
        raise ImageError(f"{origin} has shape {image.shape}; expected (H,W,3), (H,W,4) or (H,W)")
    # A view such as rgb[..., ::-1] would be copied by OpenCV for each person, and slowly.
    return np.ascontiguousarray(image)


def _way_to_array(image: object) -> str:
    """How what is no array becomes one, where that can be told."""
    package = type(image).__module__.partition(".")[0]
    if image is None:
        return ". cv2.imread returns None for a file that it cannot read; read_image says why"
    if isinstance(image, str | os.PathLike | bytes | bytearray):
        return ": read_image(...) gives one"
    if package == "PIL":
        return ": np.asarray(picture.convert('RGB'))[..., ::-1]"
    if package == "torch":
        return ": tensor.permute(1, 2, 0).cpu().numpy()[..., ::-1] where it is RGB (3,H,W) uint8"
    return ""


def is_picture(path: Path) -> bool:
    """True where a file's name says that it is one."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key for sorting: numbers in names by their value, 2 before 10; the rest as it stands."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in natural order.

    Raises:
        InputError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; expected one with pictures")
    files = [p for p in folder.iterdir() if is_picture(p) and not p.is_dir()]
    if not files:
        raise InputError(
            f"{folder}: no pictures in this folder; expected files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return sorted(files, key=natural_order)


def read_image(source: str | Path | bytes | BinaryIO) -> NDArray[np.uint8]:
    """Read a picture as (H,W,3) uint8 BGR, turned upright by its EXIF orientation.

    Args:
        source: the path of a file; or its bytes, or what they can be read from: an open file, an upload.

    Raises:
        ImageError: missing, empty, truncated, not a picture, or deeper than 8 bits a channel.
    """
    origin = str(source) if isinstance(source, str | os.PathLike) else "the picture"
    data = _content(source, origin)
    if not data:
        again = "; where it was read before, seek(0) first" if hasattr(source, "read") else ""
        raise ImageError(f"{origin} is empty; expected a picture's bytes{again}")
    if _is_truncated(data):
        raise ImageError(f"{origin} is truncated (its end is missing); copy it again")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH  # any depth, so that 16 bits are seen and refused
    image, reason = None, ""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        reason = f" ({error.err})"
    if image is not None:
        return as_bgr(image, origin)
    _refuse_heic(data, origin)
    no_avif = data[4:12] == b"ftypavif" and not cv2.haveImageWriter(".avif")
    advice = "; AVIF takes OpenCV 4.12 or later" if no_avif else ""
    raise ImageError(f"{origin} is not a picture that OpenCV {cv2.__version__} can read{reason}{advice}")


def _refuse_heic(data: bytes, origin: str) -> None:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise ImageError(
            f"{origin} is a HEIC picture, which OpenCV cannot read; convert it to JPEG or PNG "
            "(heif-convert, pillow-heif)"
        )


def check_no_heic(path: Path) -> None:
    """Name a HEIC picture as what it is, before other files are read, or something else is tried with it.

    Raises:
        ImageError: it is one, by its content: what is called so may be a JPEG.
    """
    if not path.is_file():  # a named pipe can be read once
        return
    try:
        with path.open("rb") as file:
            begin = file.read(12)
    except OSError:  # said by who reads it
        return
    _refuse_heic(begin, str(path))


def _content(source: object, origin: str) -> bytes:
    """The bytes of a file, whether it is named, open, or read already."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    read = getattr(source, "read", None)
    if isinstance(source, str | os.PathLike):
        read = Path(source).read_bytes
    if read is None:
        raise ImageError(
            f"the picture is {source!r:.60}; expected the path of a file, its bytes, or an open file"
        )
    try:
        data = read()
    except (OSError, ValueError) as error:  # a ValueError: no file has such a name, or it is closed
        raise ImageError(f"{origin} cannot be read ({getattr(error, 'strerror', error)})") from None
    if not isinstance(data, bytes):
        raise ImageError(
            f"the open file gives a {type(data).__name__}; expected bytes (mode 'rb', or what an async "
            "read() gave)"
        )
    return data


def _is_truncated(data: bytes) -> bool:
    """True where a JPEG, PNG or WebP file ends early; decoders would fill up with grey, silently."""
    if data.startswith(b"\xff\xd8"):  # the last scan must be closed; thumbnails have ends of their own
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda") and not _jpeg_ends(data)
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    return False


def _jpeg_ends(data: bytes) -> bool:
    """True where a JPEG's own segments lead to its end, whatever follows: phones append a film."""
    place = 2
    while (marker := _JPEG_MARKER.search(data, place)) is not None:
        kind, place = marker.group(1)[0], marker.end()
        if kind == _JPEG_END:
            return True
        place += int.from_bytes(data[place : place + 2], "big")  # over thumbnails, which have ends
    return False


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture; the kind follows the suffix. Nothing half-written is left.

    Raises:
        OutputError: it cannot be encoded or written.
    """
    # Of the suffix alone: OpenCV crashes on names that are no UTF-8.
    if not (path.suffix and cv2.haveImageWriter(f"x{path.suffix}")):
        raise OutputError(f"{path}: OpenCV cannot encode pictures of kind '{path.suffix}'; expected .png")
    done, data = cv2.imencode(path.suffix, image)
    if not done:
        raise OutputError(f"{path}: cannot be encoded as '{path.suffix}': {image.shape}")
    write_bytes(path, data.tobytes())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file beside its final name, then rename; of several writers at once the last one's stays.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name[:_NAME_KEPT]}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        rename(part, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
