"""Which files make up a model, and under which names do they travel?"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from rtmpose_sdk.artifacts import card_beside
from rtmpose_sdk.errors import InputError, OutputError
from rtmpose_sdk.zoo import locate


class Parcel:
    """A folder of this machine that is sent as a whole; each model lies in a folder of its own in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def add(self, path: Path) -> str:
        """Copy a file with what belongs to it, or a folder.

        Returns:
            Its path in the parcel.

        Raises:
            OutputError: it cannot be copied.
        """
        place = self._place(path)
        try:
            if path.is_dir():
                shutil.copytree(path, self._folder / place / path.name)
            else:
                (self._folder / place).mkdir(parents=True)
                for file in belongings(path):
                    shutil.copy2(file, self._folder / place / file.name)
        except OSError as error:
            raise OutputError(f"{path}: cannot be copied for sending ({error})") from None
        return (place / path.name).as_posix()

    def _place(self, path: Path) -> Path:
        """A new folder in which the source's own is named, as reports tell files of one name by it."""
        self._count += 1
        own = re.sub(r"[^\w.-]", "_", path.resolve().parent.name, flags=re.ASCII).strip(".")
        return Path(str(self._count - 1), own)

    def add_option(self, name: str, value: str) -> str:
        """The same for an option's value; a model is fetched or converted here, so that the other need not.

        Raises:
            InputError: no such picture.
            RTMPoseError: no such model, see `locate`.
        """
        if name != "image":
            return self.add(locate(value).path)
        if not Path(value).is_file():
            raise InputError(f"{value}: no such file; expected a picture")
        return self.add(Path(value))


def belongings(path: Path) -> list[Path]:
    """A file and what has to lie beside it: weights, card."""
    beside = [card_beside(path), path.with_name(path.name + ".data")]
    if path.suffix.lower() in (".param", ".xml"):
        beside.append(path.with_suffix(".bin"))
    return [path, *(file for file in beside if file.is_file())]
