"""How many bytes a ring takes, for who makes it and for who wants to know it before."""

import mmap
from typing import Final

HEADER_WORDS: Final = 4
_PAGE: Final = mmap.PAGESIZE


def round_up(size: int, step: int = _PAGE) -> int:
    """The next multiple of a step."""
    return -(-size // step) * step


def data_offset(slots: int) -> int:
    """Where the first slot begins, behind the header and the generations."""
    return round_up(8 * (HEADER_WORDS + slots))


def ring_bytes(slots: int, slot_bytes: int) -> int:
    """Size of the whole ring in bytes."""
    return data_offset(slots) + slots * round_up(slot_bytes)
