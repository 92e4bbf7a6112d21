"""What ZeroMQ tells of a connection; pyzmq's own reader imports asyncio, a quarter of the start of a receiver."""

import struct
from collections.abc import Sequence

_EVENT = struct.Struct("=Hi")


def event_of(parts: Sequence[bytes]) -> tuple[int, int]:
    """What happened, and the descriptor to which it did, or what else there is to say of it.

    Args:
        parts: of one message of a monitor, zmq_socket_monitor(3).
    """
    event, value = _EVENT.unpack(parts[0])
    return event, value
