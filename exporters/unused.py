"""Which options were given that would be passed over?"""

from __future__ import annotations

from collections.abc import Mapping

from rtmpose_sdk.errors import InputError


def check_unused(options: Mapping[str, object], why: str) -> None:
    """Refuse options that say nothing here.

    Args:
        options: name → value; None where it was not given.
        why: what they are for, after their names.

    Raises:
        InputError: one was given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{', '.join(given)}: {why}")
