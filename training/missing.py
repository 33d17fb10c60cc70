"""Where may a picture be that is not where the annotations say?"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import unquote


class Neighbours:
    """Pictures whose names nearly are what annotations call a missing one.

    Args:
        folder: where the pictures should be.
        option: of the command, that names the folder.
    """

    def __init__(self, folder: Path, option: str = "--images") -> None:
        self._folder, self._option = folder, option
        self._names: dict[str, str] | None = None

    def hint(self, name: str) -> str:
        """What a missing picture's name may mean, and what to do; "" where nothing is like it."""
        if not Path(name).is_absolute() and (self._folder.parent / name).is_file():
            return f"it is in {self._folder.parent}: give {self._option} {self._folder.parent}"
        plain = unquote(name).replace("\\", "/")
        found = plain if (self._folder / plain).is_file() else self._alike(plain.rsplit("/", 1)[-1])
        return f"there is {found}: write file_name as the file is called" if found else ""

    def _alike(self, name: str) -> str:
        """A file of the folder that differs in capitals, in how letters are composed, or in its ending."""
        if self._names is None:
            files = [file.name for file in self._folder.iterdir() if file.is_file()]
            self._names = {_plain(Path(file).stem): file for file in files}
            self._names |= {_plain(file): file for file in files}
        return self._names.get(_plain(name)) or self._names.get(_plain(Path(name).stem)) or ""


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
