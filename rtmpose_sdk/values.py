"""Is a value of the kind that an argument or a field takes? numpy's numbers count as Python's."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard

from rtmpose_sdk.errors import InputError


def is_whole(value: object, least: int = 0) -> TypeGuard[int]:
    """A whole number, at least so large; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def is_number(value: object) -> TypeGuard[float]:
    """A finite number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def check_share(name: str, value: object) -> None:
    """A number from 0 to 1.

    Raises:
        InputError: not so.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; expected 0...1")
