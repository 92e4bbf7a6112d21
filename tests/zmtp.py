"""A ZeroMQ peer by hand, which may say what no library would (ZMTP 3.1, mechanism NULL)."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
LIMIT_S = 30.0


@contextmanager
def raw_peer(endpoint: str, kind: bytes = b"SUB") -> Iterator[socket.socket]:
    """A connection that has shaken hands as a socket of this kind."""
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), LIMIT_S) as peer:
        peer.sendall(_GREETING)
        ready = b"\x05READY" + b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        peer.sendall(b"\x04" + bytes([len(ready)]) + ready)
        # Whoever goes on before the other end has said READY too breaks the handshake.
        with peer.makefile("rb", buffering=0) as answer:
            said = answer.read(len(_GREETING))
            said += answer.read(2)
            answer.read(said[-1])
        yield peer


def part(body: bytes, *, has_more: bool = False) -> bytes:
    """One part of a message, up to 255 bytes."""
    return bytes([has_more, len(body)]) + body


def subscription(topic: bytes) -> bytes:
    """What a SUB socket says."""
    return part(b"\x01" + topic)


def is_cut_off(peer: socket.socket) -> bool:
    """Whether the other end hung up; nothing of what it said before is read."""
    ends = select.poll()
    ends.register(peer, select.POLLRDHUP)
    return bool(ends.poll(0))
