"""What do the sources on the command line mean: which are videos, and what are their files called?"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from pathlib import Path

from rtmpose_sdk.errors import InputError
from rtmpose_sdk.images import HEIC_SUFFIXES, IMAGE_SUFFIXES, natural_order
from rtmpose_sdk.sources import is_address, is_camera, without_login

VideoInput = str | tuple[str, ...]
"""One video: a source as `open_source` takes it, or picture files that are its frames."""
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".3gp", ".ogv"),
)
"""What counts as a video in a folder or a pattern; a file that is named may end otherwise."""


_LONGEST = 100
"""Characters of an address in names of files."""
_KINDS = 3
"""Suffixes that are named of files that are left out."""


def split_sources(sources: list[str], track: bool) -> tuple[list[VideoInput], list[str]]:
    """The videos, and the rest: pictures that are looked at one by one.

    Args:
        sources: files, folders, globs, cameras, addresses.
        track: pictures are frames: a folder or glob of them is a video, picture files are one together.

    Raises:
        InputError: a folder or glob with both pictures and videos, or a name that no file can have.
    """
    videos: list[VideoInput] = []
    pictures: list[str] = []
    for source in sources:
        try:
            _ = is_address(source) or glob.has_magic(source) or os.stat(source)
        except FileNotFoundError:  # said later
            pass
        except (OSError, ValueError) as error:
            raise InputError(f"{source}: cannot be read ({getattr(error, 'strerror', error)})") from None
        inside = [] if is_video(source) else _inside(source)
        found = [str(p) for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
        if found and any(p.suffix.lower() in IMAGE_SUFFIXES for p in inside):
            raise InputError(f"{source}: pictures and videos together; name the files of one kind")
        if found:
            videos += found
        elif is_video(source) or (track and not Path(source).is_file()):
            videos.append(source)
        else:
            pictures.append(source)
    if track and pictures:
        videos.append(pictures[0] if len(pictures) == 1 else tuple(pictures))
        pictures = []
    return videos, pictures


def _inside(source: str) -> list[Path]:
    """Files of a folder or a glob, in natural order."""
    path = Path(source)
    if path.is_dir():
        files = list(path.iterdir())
    elif glob.has_magic(source) and not path.exists():
        files = [Path(p) for p in glob.glob(source, recursive=True)]
    else:
        return []
    return sorted((p for p in files if p.is_file()), key=natural_order)


def left_out(sources: list[str], track: bool) -> str:
    """What folders and patterns hold beside their pictures or videos, in a line; "" where that is nothing.

    Args:
        sources, track: see `split_sources`.
    """
    lines = []
    for source in sources:
        inside = [] if is_video(source) else [p for p in _inside(source) if not p.name.startswith(".")]
        kinds = [path.suffix.lower() for path in inside]
        what, taken = "picture", set(IMAGE_SUFFIXES)
        if any(kind in VIDEO_SUFFIXES for kind in kinds):
            what, taken = "video", set(VIDEO_SUFFIXES)
        elif not track and not Path(source).is_dir():
            continue  # every file of a pattern is looked at
        others = Counter(sorted(kind for kind in kinds if kind not in taken))
        if others:
            count, named = others.total(), [kind or "no suffix" for kind, _ in others.most_common(_KINDS)]
            files = f"1 file that is no {what}" if count == 1 else f"{count} files that are no {what}s"
            more = ", ..." * (len(others) > _KINDS)
            lines.append(f"{source}: left out: {files} ({', '.join(named)}{more})")
    return "\n".join(lines)


def is_video(source: str) -> bool:
    """True where a source is no picture, folder or pattern: a video file, a camera, an address, "-"."""
    if source == "-" or is_camera(source) or is_address(source):
        return True
    path = Path(source)
    # HEIC, which a video decoder would take for one frame, is named as what it is when it is read.
    return path.is_file() and path.suffix.lower() not in (*IMAGE_SUFFIXES, *HEIC_SUFFIXES)


def name_of(source: VideoInput) -> str:
    """What a source's files are called.

    A video's own name, "camera0", "stdin", an address's last words, the folder of pictures.
    """
    if isinstance(source, tuple):
        return _folder(common_folder([Path(p).resolve() for p in source]))
    if source == "-":
        return "stdin"
    if is_camera(source):
        return f"camera{source}"
    if is_address(source):
        address = without_login(source).partition("://")[2]
        if source.lower().startswith("http"):  # signatures are no file names
            address = re.split("[?#]", address)[0]
        return re.sub(r"[^\w.-]+", "_", address).strip("_.")[-_LONGEST:] or "stream"
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if glob.has_magic(source) and not path.exists():
        return _folder(next(p for p in path.parents if not glob.has_magic(str(p))))
    return path.stem


def common_folder(files: list[Path]) -> Path:
    """The folder that all of the files, which are whole paths, lie below.

    Raises:
        InputError: they lie on several drives.
    """
    try:
        return Path(os.path.commonpath([file.parent for file in files]))
    except ValueError:
        drives = ", ".join(sorted({file.drive for file in files}))
        raise InputError(
            f"the sources lie on several drives ({drives}); give each to a call of its own"
        ) from None


def _folder(path: Path) -> str:
    return path.resolve().name or "frames"
