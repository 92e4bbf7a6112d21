"""By which mechanism a ZeroMQ peer lets in: what tells a service with keys from one without."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from syncsvc.errors import NoAnswer

_OURS: Final = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03"
"""The beginning of a greeting of ZMTP 3: only then a peer sends the rest of its own."""
_MECHANISM: Final = slice(12, 32)


def mechanism_of(sock: socket.socket, said: bytes, is_ready: Callable[[], bool]) -> bytes:
    """``NULL``, ``CURVE`` or another; empty where the peer does not say.

    Args:
        sock: connected, and not waiting.
        said: what the peer has said so far.
        is_ready: waits for more of it, for a while.
    """
    with suppress(OSError):  # who hangs up now is found out by whoever connects in earnest
        sock.sendall(_OURS)
        while len(said) < _MECHANISM.stop and is_ready():
            more = sock.recv(64)
            if not more:
                break
            said += more
    return said[_MECHANISM].rstrip(b"\0") if len(said) >= _MECHANISM.stop else b""


def refuse_other_mechanism(endpoint: str, mechanism: bytes, *, has_keys: bool) -> None:
    """Keys are wanted where we have some, and only there.

    Raises:
        NoAnswer: they are not.
    """
    if mechanism == b"CURVE" and not has_keys:
        remedy = "give the folder of yours (keys=, `--keys DIR`, SYNCSVC_KEYS); `syncsvc keys client` makes it there"
        raise NoAnswer(endpoint, f"the service lets in who has keys: {remedy}", may_come=False)
    if mechanism == b"NULL" and has_keys:
        problem = "the service has no `security`, so nobody knows who it is: leave the keys out (SYNCSVC_KEYS too)"
        raise NoAnswer(endpoint, problem, may_come=False)
