"""How is an archive from anywhere unpacked, so that nothing lands outside and nothing explodes?"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rtmpose_sdk.errors import ArchiveError
from rtmpose_sdk.hub import cache

MOST_MEMBERS = 1000
"""An SDK folder has four files; some archives carry pictures and logs."""
MOST_BYTES = 4 << 30
MOST_RATIO = 200
"""Bytes unpacked per byte packed; weights hardly shrink, and text does so by 20."""
HARMLESS = 64 << 20
"""Bytes that may come out of however few."""
_CHUNK = 1 << 20
_WINDOWS = os.name == "nt"
_NOT_ON_WINDOWS = re.compile(
    r'[<>:"|?*\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com[1-9]|lpt[1-9]) *(\.|$)', re.IGNORECASE
)
"""Letters, ends and devices' names that no file has there."""


def unpacked(archive: Path) -> Path:
    """The folder of the cache that holds what an archive holds; unpacked when it is first asked for.

    Raises:
        ArchiveError: damaged, too large, or with members that would land outside.
        OutputError: the cache cannot be written, or the disk is full.
    """
    record = cache.read_record(archive)
    digest = record.sha256 if record else cache.sha256_of(archive)
    name = f"{archive.stem}-{digest[:12]}"
    have = cache.find("unpacked", name)
    if have is not None:
        return have
    with cache.locked(f"unpack-{name}"):
        target = cache.place("unpacked", name)
        if not target.exists():
            with cache.writing(target):
                trial = Path(
                    tempfile.mkdtemp(prefix=f"{name}-", suffix=cache.UNFINISHED, dir=target.parent)
                )
            try:
                _unpack(archive, trial)
                with cache.writing(target):
                    trial.chmod(0o755)
                    trial.replace(target)
            except BaseException:
                shutil.rmtree(trial, ignore_errors=True)
                raise
    return target


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            members = _checked(archive, source)
            left = MOST_BYTES
            for member, place in members:
                target = folder.joinpath(*place.parts)
                if member.is_dir():
                    continue
                with cache.writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    left -= _copy(archive, source, member, target, left)
    except (
        zlib.error,
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise ArchiveError(
            f"{archive}: damaged or not a zip archive ({error}); fetch or copy it again"
        ) from None


def _checked(archive: Path, source: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The members, once the list of them is harmless; nothing has been written yet."""
    members = source.infolist()
    if len(members) > MOST_MEMBERS:
        raise ArchiveError(
            f"{archive}: holds {len(members)} files; a model has no more than {MOST_MEMBERS}"
        )
    size = sum(member.file_size for member in members)
    packed = max(archive.stat().st_size, 1)
    if size > MOST_BYTES or size > max(packed * MOST_RATIO, HARMLESS):
        raise ArchiveError(
            f"{archive}: {packed} bytes would become {size}; refused as an archive bomb (most: "
            f"{MOST_BYTES} "
            f"bytes and {MOST_RATIO} times as many)"
        )
    found = []
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        outside = place.is_absolute() or ".." in place.parts or ":" in member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if outside or not place.parts:
            raise ArchiveError(f"{archive}: its member '{member.filename}' would land outside; refused")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(f"{archive}: its member '{member.filename}' is a link or device; refused")
        if _WINDOWS and any(map(_NOT_ON_WINDOWS.search, place.parts)):
            raise ArchiveError(
                f"{archive}: its member '{member.filename}' has a name that Windows does not allow; pack "
                "it again under another"
            )
        found.append((member, place))
    if len({place for _, place in found}) != len(found):
        raise ArchiveError(f"{archive}: two of its members have one name; refused")
    return found


def _copy(archive: Path, source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Unpack a member; its true size, which its header may not say."""
    size = 0
    with source.open(member) as packed, target.open("xb") as out:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            if size > min(left, member.file_size):
                raise ArchiveError(
                    f"{archive}: '{member.filename}' is larger than the archive says; refused"
                )
            out.write(chunk)
    return size


def unpacked_by_hand(folder: Path) -> Path:
    """The SDK folder at the end of folders that hold one each, as archives unpack; else the folder."""
    inner = folder
    while not (inner / "deploy.json").is_file():
        below = [place for place in inner.glob("*") if place.is_dir() and place.name != "__MACOSX"]
        if len(below) != 1:
            return folder
        inner = below[0]
    return inner


def model_inside(folder: Path) -> Path:
    """The model of an unpacked archive: its SDK folder, wherever it lies, else its one `.onnx` file.

    Raises:
        ArchiveError: there is none, or more than one.
    """
    folders = [file.parent for file in sorted(folder.rglob("deploy.json"))]
    if len(folders) == 1:
        return folders[0]
    networks = sorted(folder.rglob("*.onnx"))
    if not folders and len(networks) == 1:
        return networks[0]
    names = [str(p.relative_to(folder)) for p in (folders or networks)]
    holds = (
        f"holds {len(names)} of them ({', '.join(names[:5])}); unpack it and name one"
        if names
        else (
            "holds neither; it has "
            + (", ".join(sorted(p.name for p in folder.rglob("*"))[:5]) or "nothing")
        )
    )
    raise ArchiveError(f"{folder.name}: expected one MMDeploy SDK folder or one .onnx file; it {holds}")
