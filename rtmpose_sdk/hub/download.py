"""How does a file get from a server into the cache? Resumed, checked, and never half-done.

requests carries it (proxies, redirects, certificates as the user's environment says); resuming, mirrors
and hashes are ours, because neither pooch nor requests has them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from rtmpose_sdk.errors import (
    DownloadError,
    InputError,
    MissingExtraError,
    OfflineError,
    OutputError,
    RTMPoseError,
)
from rtmpose_sdk.hub import cache
from rtmpose_sdk.hub.cache import Record
from rtmpose_sdk.hub.integrity import check
from rtmpose_sdk.hub.reasons import reason

MIRRORS = "RTMPOSE_MIRRORS"
OFFLINE = "RTMPOSE_OFFLINE"
TIMEOUT = "RTMPOSE_TIMEOUT"
_PUBLISHER = "download.openmmlab.com"
_DEFAULT_TIMEOUT = 30.0
"""Seconds without a byte after which a server is taken for stalled."""
_LONGEST_TIMEOUT = 86400.0
_TRIES = 4
"""Of one address, in a row, without a new byte."""
_PAUSE = 0.5
"""Seconds before the second try; doubled each time."""
_CHUNK = 1 << 14
"""Bytes of one read; what has come of the last one is lost when the line breaks."""
_LARGEST = 4 << 30
"""No published file is nearly as large; a server that never ends is stopped there."""
_SPARE = 64 << 20
"""Bytes that are left free on the disk."""
_SERVER_ERRORS = (408, 425, 429, 500, 502, 503, 504)

Report = Callable[[int, int | None], None]
"""Bytes so far, and in all where the server says."""


def offline() -> bool:
    """True where no connection may be opened."""
    return os.environ.get(OFFLINE, "").lower() not in ("", "0", "false", "no")


def addresses(url: str) -> list[str]:
    """Where a file may be had: at the mirrors, then at its own address.

    A mirror is a server with the published paths, or BEGINNING=OTHER: an address that begins so begins
    otherwise there.
    """
    parts = urlsplit(url)
    tail = parts.path + (f"?{parts.query}" if parts.query else "")
    found = []
    for mirror in os.environ.get(MIRRORS, "").replace(",", " ").split():
        beginning, equals, other = mirror.partition("=")
        if not equals:
            found.append(mirror.rstrip("/") + tail)
        elif url.startswith(beginning):
            found.append(other + url.removeprefix(beginning))
    return [*found, url]


def fetch(url: str, sha256_prefix: str = "", fill: str = "") -> Path:
    """The file behind an address, from the cache where it is there.

    Args:
        url: its published address; mirrors are tried first.
        sha256_prefix: first digits of its sha256, "" where they are not known.
        fill: command that fills the cache, for the error message.

    Raises:
        InputError: not an address, or RTMPOSE_TIMEOUT is no number of seconds.
        OfflineError: not cached, and no connection may be opened.
        DownloadError: no address gives it, or what it gives is not the published file.
        OutputError: the cache cannot be written, or the disk is full.
    """
    name = cache_name(url)
    have = cached(url)
    if have is not None:
        return _known(have, url, sha256_prefix)
    if offline():
        raise OfflineError(
            f"{name} is not in the cache ({cache.home()}), and {OFFLINE}=1 or --offline "
            f"forbids to fetch it. With a connection, fill the cache: {fill or f'fetch {url}'}"
        )
    with cache.locked(name):
        have = cached(url)
        if have is not None:  # another process was faster
            return _known(have, url, sha256_prefix)
        target = cache.place("files", name)
        with _bar(target.name) as report:
            return _fetch(url, target, sha256_prefix, fill, report)


def cache_name(url: str) -> str:
    """OpenMMLab's files lie under their names, which are unique; others get a hash of their address.

    Raises:
        InputError: not an address.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(
            f"{url}: not an address ({error}); expected one such as https://host/model.onnx"
        ) from None
    name = parts.path.rsplit("/", 1)[-1] or "file"
    if parts.netloc == _PUBLISHER:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{dot}{suffix}"


def cached(url: str) -> Path | None:
    """The file behind an address, where it is in a cache."""
    return cache.find("files", cache_name(url))


def _known(path: Path, url: str, prefix: str) -> Path:
    """A file of the cache; one that somebody put there is checked when it is first used."""
    record = cache.read_record(path)
    if record is not None and record.size == path.stat().st_size:
        return path
    found = check(path, prefix, record)
    if os.access(path.parent, os.W_OK):
        cache.write_record(path, Record(found, path.stat().st_size, url))
    return path


@contextmanager
def _bar(name: str) -> Iterator[Report]:
    """A progress bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.errors import LiveError
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    try:
        bar.start()
    except LiveError:  # the caller shows one of its own
        bar.disable = True
    task = bar.add_task(name, total=None)
    try:
        yield lambda done, total: bar.update(task, completed=done, total=total)
    finally:
        bar.stop()


def _fetch(url: str, target: Path, prefix: str, fill: str, report: Report) -> Path:
    part = target.with_name(target.name + cache.UNFINISHED)
    record = cache.read_record(target)
    failures = []
    for address in addresses(url):
        for fresh in (False, True):
            resumed = _unfinished(part, address)[0] > 0
            try:
                _transfer(address, part, report)
                found = check(part, prefix, record)
            except _CutOffError as error:  # what has come is kept for the next time
                failures.append(f"{address}: {error}")
                break
            except DownloadError as error:
                _forget(part)
                if resumed and not fresh:
                    continue  # its beginning may have been damaged
                failures.append(f"{address}: {error}")
                break
            with cache.writing(target):
                # The record first: a file under its final name always has one.
                cache.write_record(target, Record(found, part.stat().st_size, address))
                part.replace(target)
            _forget(part)
            return target
    raise DownloadError(
        f"{target.name} could not be fetched:\n  " + "\n  ".join(dict.fromkeys(failures)) + "\n"
        f"Other addresses can be given in {MIRRORS}; a file that you have goes to {target}. "
        f"Try again with: {fill or url}"
    )


class _CutOffError(DownloadError):
    """A part has come, and the rest may come later."""


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    """Beside an unfinished file: from where it is, and which version."""
    return part.with_name(part.name + ".json")


def _transfer(address: str, part: Path, report: Report) -> None:
    """Fetch one address into `part`, going on where an earlier try stopped."""
    requests = _import_requests()
    failed: Exception | None = None
    tries, size = 0, -1
    with requests.Session() as session:
        while tries < _TRIES:
            if tries:
                time.sleep(_PAUSE * 2 ** (tries - 1))
            try:
                _once(session, address, part, report)
                return
            except RTMPoseError:
                raise
            except (requests.RequestException, _BrokenOffError) as error:
                failed = error
            except OSError as error:  # requests' own: no certificates where REQUESTS_CA_BUNDLE says
                raise DownloadError(f"{error} (REQUESTS_CA_BUNDLE)") from None
            now = part.stat().st_size if part.exists() else 0
            tries = tries + 1 if now <= size or size < 0 else 1
            size = now
    assert failed is not None
    raise _CutOffError(str(failed) if isinstance(failed, _BrokenOffError) else reason(failed))


class _BrokenOffError(Exception):
    """Worth another try."""


def _once(session: Any, address: str, part: Path, report: Report) -> None:
    start, validator = _unfinished(part, address)
    headers = {"Accept-Encoding": "identity", "User-Agent": "rtmpose-sdk"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    timeout = _timeout()
    with session.get(address, headers=headers, stream=True, timeout=timeout) as answer:
        if answer.status_code == 416:
            _forget(part)
            raise _BrokenOffError("the server cannot go on where it stopped")
        if answer.status_code in _SERVER_ERRORS:
            raise _BrokenOffError(f"the server answers {answer.status_code} {answer.reason}")
        if answer.status_code not in (200, 206):
            raise DownloadError(f"the server answers {answer.status_code} {answer.reason}")
        going_on = answer.status_code == 206
        if going_on and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _forget(part)
            raise _BrokenOffError("the server went on at another place than it was asked to")
        start = start if going_on else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        _room(part, (total or 0) - start)
        with cache.writing(part):
            notes = {"url": address, "validator": _validator(answer.headers)}
            _notes(part).write_text(json.dumps(notes), "utf-8")
        _write(answer, part, start, total, report)


def _timeout() -> float:
    given = os.environ.get(TIMEOUT)
    if not given:
        return _DEFAULT_TIMEOUT
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise InputError(
            f"{TIMEOUT}={given}; expected seconds without a byte until a server is taken for stalled, "
            f"more than 0 and at most {_LONGEST_TIMEOUT:.0f}; {_DEFAULT_TIMEOUT:g} where it is not set"
        )
    return seconds


def _write(answer: Any, part: Path, start: int, total: int | None, report: Report) -> None:
    done = start
    blocks = answer.iter_content(_CHUNK)
    try:
        with cache.writing(part), part.open("ab" if start else "wb") as stream:
            while True:
                try:
                    block = next(blocks, None)
                except OSError as error:  # requests' own errors: not the disk's
                    raise _BrokenOffError(reason(error)) from None
                if block is None:
                    break
                _write_block(stream, block)
                done += len(block)
                if done > _LARGEST:
                    raise DownloadError(f"more than {_LARGEST >> 30} GB came; no model is as large")
                report(done, total)
    except OutputError:
        _forget(part)  # what fills the disk helps nobody
        raise
    if total is not None and done != total:
        raise _BrokenOffError(f"it ended after {done} of {total} bytes")


def _write_block(stream: BinaryIO, block: bytes) -> None:
    stream.write(block)


def _unfinished(part: Path, address: str) -> tuple[int, str]:
    """Bytes that can be kept, and the version they are of."""
    try:
        notes = json.loads(_notes(part).read_text("utf-8"))
        if notes["url"] == address and notes["validator"]:
            return part.stat().st_size, str(notes["validator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _forget(part)
    return 0, ""


def _validator(headers: Any) -> str:
    etag = headers.get("ETag", "")
    return str(etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", ""))


def _room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed + _SPARE > free:
        raise OutputError(
            f"{part.parent}: {needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free on this "
            "disk; "
            f"free some space, or set {cache.HOME} to another folder"
        )


def _import_requests() -> Any:
    try:
        import requests
    except ImportError:
        raise MissingExtraError("requests", "cpu", "Fetching a model") from None
    return requests
