"""Who may connect to our sockets: CURVE, and the word of a list of keys on every handshake (ZAP, RFC 27).

libzmq asks at an endpoint of the context before it lets anybody in; where nobody answers there, nobody comes in
(ZMQ_ZAP_ENFORCE_DOMAIN). pyzmq's own authenticator imports asyncio, which is a quarter of the receiver's start.
"""

import logging
from contextlib import suppress
from typing import Final, Self

import zmq
from zmq.utils import z85

from syncsvc.certificates import Guard
from syncsvc.transport.socket_files import path_of

_ASKED_AT: Final = "inproc://zeromq.zap.01"
_DOMAIN: Final = b"syncsvc"
_REQUEST_PARTS: Final = 7
LEAST_MESSAGE_BYTES: Final = 1024
"""MAXMSGSIZE also limits a handshake: of 256 bytes it would lock out everybody."""

log = logging.getLogger(__name__)


class Gate:
    """For one context: locks its sockets, and answers for who may come in.

    ``follow`` and ``lock`` from any thread, everything else from the one that serves it.
    """

    socket: "zmq.Socket[bytes]"

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", guard: Guard) -> None:
        self._guard = guard
        self.changes = 0
        """How often the list of clients was another one."""
        self.socket = context.socket(zmq.REP)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(_ASKED_AT)

    @classmethod
    def of(cls, context: "zmq.Context[zmq.Socket[bytes]]", guard: Guard | None) -> Self | None:
        """None where there is no guard."""
        return None if guard is None else cls(context, guard)

    def lock(self, sock: "zmq.Socket[bytes]", endpoint: str) -> None:
        """Before a socket is bound: over TCP it speaks with those alone whom we let in."""
        if path_of(endpoint) is not None:
            return  # only our own user gets at its file
        for option, value in (
            (zmq.CURVE_SERVER, 1),
            (zmq.CURVE_SECRETKEY, self._guard.keys.secret),
            (zmq.ZAP_DOMAIN, _DOMAIN),
            (zmq.ZAP_ENFORCE_DOMAIN, 1),
        ):
            sock.set(option, value)

    def follow(self, guard: Guard) -> None:
        """The list was read again; who is not on it any more is cut off where connections are looked at."""
        before, now = self._guard.clients, guard.clients
        if before == now:
            return
        for what, names in (
            ("no longer let in", before.items() - now.items()),
            ("let in", now.items() - before.items()),
        ):
            if names:
                log.info("clients that are %s: %s", what, ", ".join(sorted(name for _, name in names)))
        self._guard = guard
        self.changes += 1

    def admits(self, name: str) -> bool:
        """Whether a client is on the list, by the key that stands for it here."""
        return name.encode() in self._guard.clients

    def serve(self) -> None:
        """Answer every handshake that waits."""
        with suppress(zmq.Again):
            while True:
                self.socket.send_multipart(self._answer(self.socket.recv_multipart(zmq.DONTWAIT)), zmq.DONTWAIT)

    def _answer(self, parts: list[bytes]) -> list[bytes]:
        version, request = parts[:2] if len(parts) >= 2 else (b"1.0", b"")
        key = b""
        if len(parts) == _REQUEST_PARTS and parts[2] == _DOMAIN and parts[5] == b"CURVE":
            key = _text_of(parts[6])
        if key in self._guard.clients:
            return [version, request, b"200", b"OK", key, b""]
        return [version, request, b"400", b"not on the list", b"", b""]

    def close(self) -> None:
        """Answer nobody any more: nobody comes in."""
        self.socket.close(0)


def _text_of(key: bytes) -> bytes:
    text: bytes = z85.encode(key) if len(key) == 32 else b""
    return text


def client_of(frame: zmq.Frame) -> str:
    """The key that a message came with, as 40 characters; empty where its sender needs none."""
    with suppress(zmq.ZMQError):
        return str(frame.get("User-Id"))
    return ""
