"""Which machine does `ssh:user@host:port` mean, and which device of it?"""

from __future__ import annotations

import re
from typing import NamedTuple

from rtmpose_sdk.errors import InputError

# A leading hyphen would be an option of ssh.
_ADDRESS = re.compile(
    r"ssh:(?:(?P<user>[A-Za-z0-9_.][\w.+-]*)@)?(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9_][\w.-]*)"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/(?P<device>[A-Za-z][\w:.-]*))?",
    re.ASCII,
)


class Address(NamedTuple):
    """Where to, as ssh and scp take it; `port` None leaves it to ssh's own configuration."""

    user: str | None
    host: str
    port: int | None
    device: str

    @property
    def login(self) -> str:
        """What ssh takes."""
        return self.scp_login.replace("[", "").replace("]", "")

    @property
    def scp_login(self) -> str:
        """What scp takes before the colon: an IPv6 address in brackets."""
        return f"{self.user}@{self.host}" if self.user else self.host

    def __str__(self) -> str:
        return self.scp_login + (f":{self.port}" if self.port else "")


def parse_address(text: str) -> Address:
    """Read "ssh:[user@]host[:port][/device]"; the device of that machine is its "cpu" by default.

    Raises:
        InputError: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 1 <= port <= 65535):
        raise InputError(
            f"device '{text}'; expected ssh:[user@]host[:port][/device], for example "
            "ssh:pi@raspberrypi.local or ssh:me@jetson:22/cuda"
        )
    return Address(found["user"], found["host"], port, found["device"] or "cpu")
