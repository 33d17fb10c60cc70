"""How many crops may an engine of TensorRT be given at once?"""

from __future__ import annotations

from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.errors import InputError

Batch = tuple[int, int, int]
"""Smallest, most usual and largest batch."""
DEFAULT_BATCH: Batch = (1, 1, 8)


def parse_batch(text: str) -> Batch:
    """Read a profile: "1:4:16" is 1 to 16 persons at once, best at 4; "8" is always 8.

    Raises:
        InputError: not one or three numbers, or not in order.
    """
    parts = text.split(":")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() for part in parts):
        raise InputError(
            f"batch '{text}' is not MIN:OPT:MAX; expected three numbers such as 1:4:16, or one"
        )
    numbers = [int(part) for part in parts]
    return checked_batch((numbers[0], numbers[len(numbers) // 2], numbers[-1]))


def check_profile(batch: Batch, card: ModelCard) -> None:
    """Refuse a profile that the SDK cannot use: a detector gets one picture at a time.

    Raises:
        InputError: a detector's that does not begin at 1.
    """
    if card.task == "detect" and batch[0] != 1:
        raise InputError(
            f"batch {':'.join(map(str, batch))}: {card.name} is a detector, which gets one picture at a "
            "time; expected a profile that begins at 1, such as 1 or 1:1:4"
        )


def checked_batch(batch: Batch) -> Batch:
    """The same profile.

    Raises:
        InputError: not in order.
    """
    smallest, usual, largest = batch
    if not 1 <= smallest <= usual <= largest:
        raise InputError(
            f"batch {smallest}:{usual}:{largest} is not in order; expected 1 <= MIN <= OPT <= MAX"
        )
    return batch
