"""What a pool and its workers tell each other over a socket pair that nobody else holds: typed, pixels apart.

Bodies are what ``parcels`` makes; where their arrays lie is said in ``places``.
"""

from typing import Any, ClassVar

from syncsvc.transport.channel import Message

BlockPlace = tuple[int, int, int]
"""Where bytes lie: number of the block, offset in it, how many."""


FIRST_CALL = 0
"""Number of the initializer's call, the first of every worker; it is ready once that is done."""


class WorkerStart(Message, frozen=True, tag="start"):
    """The first word to a worker: how its interpreter is to look."""

    preparation: dict[str, Any]


class ShareBlock(Message, frozen=True, tag="share"):
    """A piece of memory, whose descriptor comes along, has this number from now on."""

    _descriptors: ClassVar[int] = 1

    number: int
    offset: int
    size_bytes: int
    is_writable: bool = False


class ForgetBlocks(Message, frozen=True, tag="forget"):
    """These will not be named again: unmap them."""

    numbers: list[int]


class FreedBlocks(Message, frozen=True, tag="freed"):
    """Nobody looks at these results any more: they are yours again."""

    numbers: list[int]


class CallOrder(Message, frozen=True, tag="call"):
    """Call it."""

    number: int
    body: bytes
    places: list[BlockPlace]


class CallDone(Message, frozen=True, tag="done"):
    """What a call returned, and how long it took."""

    number: int
    body: bytes
    places: list[BlockPlace]
    spent_ns: int


class CallRaised(Message, frozen=True, tag="raised"):
    """What a call raised, with its traceback."""

    number: int
    body: bytes


ToWorker = WorkerStart | ShareBlock | ForgetBlocks | FreedBlocks | CallOrder
ToPool = ShareBlock | ForgetBlocks | CallDone | CallRaised
