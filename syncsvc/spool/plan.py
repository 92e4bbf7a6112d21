"""What the receiver must know of the spool."""

import msgspec


class SpoolPlan(msgspec.Struct, frozen=True):
    """Where batches lie, which, and for how long."""

    folder: str
    topics: dict[str, str]
    """By group: under which topic its batches go whose frames all have coded pictures."""
    keep_ns: int
    max_bytes: int
    is_synced: bool
    """Each batch is to outlast the machine's end; otherwise all but those of about a second."""
