"""Is a file what was published? Its hash where that is known, its structure in any case."""

from __future__ import annotations

import zipfile
from pathlib import Path

from rtmpose_sdk.errors import DownloadError
from rtmpose_sdk.hub import cache
from rtmpose_sdk.hub.cache import Record


def check(path: Path, prefix: str, record: Record | None) -> str:
    """The file's sha256, once its hash and structure are what they should be.

    Raises:
        DownloadError: they are not.
    """
    found = cache.sha256_of(path)
    name = path.name.removesuffix(cache.UNFINISHED)
    if prefix and not found.startswith(prefix):
        raise DownloadError(
            f"{name}: its sha256 is {found[:16]}…, but the published file's begins with {prefix}: "
            "damaged or "
            "replaced. Delete it from the cache (`rtmpose models clean NAME`) and fetch it again"
        )
    if record is not None and record.sha256 != found:
        raise DownloadError(
            f"{name}: its sha256 is {found[:16]}…, but {record.sha256[:16]}… was recorded when it first "
            "came: "
            "damaged, or replaced on the server. `rtmpose models clean NAME` forgets the old one"
        )
    with path.open("rb") as stream:
        head = stream.read(64)
    if name.endswith(".zip") and not zipfile.is_zipfile(path):
        raise DownloadError(f"{name}: {_looks_like(head)}, expected a zip archive; it may be cut off")
    if name.endswith(".pth") and not (zipfile.is_zipfile(path) or head[:1] == b"\x80"):
        raise DownloadError(f"{name}: {_looks_like(head)}, expected a PyTorch checkpoint")
    if name.endswith(".onnx") and head[:1] != b"\x08":
        raise DownloadError(f"{name}: {_looks_like(head)}, expected an ONNX file")
    return found


def _looks_like(head: bytes) -> str:
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html")):
        return "is a web page (a log-in page of the network?)"
    return f"begins with {head[:8]!r}" if head else "is empty"
