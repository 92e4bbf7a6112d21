"""Who is at an endpoint, as far as a connection and its first bytes tell; no wait outlives whoever asked."""

import errno
import math
import os
import select
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Final

from syncsvc.client.greeting import mechanism_of, refuse_other_mechanism
from syncsvc.clock import NS_PER_MS, SYSTEM_CLOCK
from syncsvc.errors import NoAnswer, SubscriberClosed
from syncsvc.transport.bell import Bell
from syncsvc.transport.hosts import host_and_port, look_up

LOOK_S: Final = 0.3
CONNECT_S: Final = 1.0
_LONGEST_MS: Final = 2**31 - 1
_GREETING: Final = b"\xff\x00\x00\x00\x00\x00\x00\x00"
"""How a ZeroMQ peer greets; its ninth byte differs."""


class Patience:
    """How long somebody waits in all, None for ever, and the bell that ends it before that."""

    def __init__(self, patience_s: float | None, bell: Bell | None = None) -> None:
        self.patience_s = math.inf if patience_s is None else patience_s
        self._start_ns = SYSTEM_CLOCK.monotonic_ns()
        self.bell = bell or Bell()

    def left_ms(self, most_s: float = math.inf) -> int:
        """What is left, ``most_s`` at most and no more than a wait of the system's takes, rounded up; 0: nothing."""
        left_ms = 1000 * self.patience_s - (SYSTEM_CLOCK.monotonic_ns() - self._start_ns) / NS_PER_MS
        return math.ceil(max(0, min(left_ms, 1000 * most_s, _LONGEST_MS)))

    def is_ready(self, sock: socket.socket, event: int, most_s: float) -> bool:
        """Wait for a socket.

        Raises:
            SubscriberClosed: the bell rang.
        """
        poller = select.poll()
        poller.register(sock, event)
        poller.register(self.bell.fd, select.POLLIN)
        ready = {fd for fd, _ in poller.poll(self.left_ms(most_s))}
        self.check(ready)
        return bool(ready)

    def pause(self, seconds: float) -> None:
        """Wait for nothing.

        Raises:
            SubscriberClosed: the bell rang.
        """
        poller = select.poll()
        poller.register(self.bell.fd, select.POLLIN)
        self.check({fd for fd, _ in poller.poll(self.left_ms(seconds))})

    def check(self, ready: set[int]) -> None:
        """Raise SubscriberClosed where the bell is among the descriptors that are ready."""
        if self.bell.fd in ready:
            raise SubscriberClosed("this subscriber is closed")


def look(endpoint: str, patience: Patience, *, has_keys: bool = False) -> None:
    """See who is there.

    Raises:
        NoAnswer: nobody, or somebody who does not speak ZeroMQ, or who wants keys and we have none, or the other way
            about.
        SubscriberClosed: the bell rang.
    """
    try:
        with closing(connect(endpoint, patience)) as sock:
            said = _first_bytes(sock, patience)
            if said.startswith(_GREETING) and endpoint.startswith("tcp://"):
                found = mechanism_of(sock, said, lambda: patience.is_ready(sock, select.POLLIN, LOOK_S))
                refuse_other_mechanism(endpoint, found, has_keys=has_keys)
    except OSError as error:
        why = error.strerror or str(error)
        raise NoAnswer(endpoint, f"no service is there ({why}); `syncsvc run CONFIG` starts one") from None
    if said.startswith(_GREETING):
        return
    if said.startswith(b"HTTP/"):
        problem = "an HTTP server is there, not a service's `live` or `control`"
    else:
        problem = "something is there that does not speak ZeroMQ" if said else "who is there says nothing"
    raise NoAnswer(endpoint, problem, may_come=not said)


def refuse_wrong_keys(endpoint: str, patience: Patience, *, has_keys: bool) -> None:
    """See whether keys are wanted where somebody does not answer, and whether we have some.

    Raises:
        NoAnswer: they are wanted and we have none, or the other way about.
        SubscriberClosed: the bell rang.
    """
    if not endpoint.startswith("tcp://"):
        return
    with suppress(OSError), closing(connect(endpoint, patience)) as sock:
        found = mechanism_of(sock, b"", lambda: patience.is_ready(sock, select.POLLIN, LOOK_S))
        refuse_other_mechanism(endpoint, found, has_keys=has_keys)


def connect(endpoint: str, patience: Patience) -> socket.socket:
    """A connection that waits for nothing.

    Raises:
        OSError: there is none.
        SubscriberClosed: the bell rang.
    """
    failure = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, address in _addresses(endpoint):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                is_done = patience.is_ready(sock, select.POLLOUT, CONNECT_S)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if is_done else errno.ETIMEDOUT
        except BaseException:
            sock.close()
            raise
        if not code:
            return sock
        sock.close()
        failure = OSError(code, os.strerror(code))
    raise failure


def is_served(endpoint: str) -> bool:
    """Whether anything accepts connections there."""
    try:
        connect(endpoint, Patience(CONNECT_S)).close()
    except OSError:
        return False
    return True


def _addresses(endpoint: str) -> Iterator[tuple[socket.AddressFamily, str | tuple[object, ...]]]:
    if endpoint.startswith("ipc://"):
        yield socket.AF_UNIX, endpoint.removeprefix("ipc://")
        return
    yield from look_up(*host_and_port(endpoint))


def _first_bytes(sock: socket.socket, patience: Patience) -> bytes:
    """What a peer says by itself or, if that is nothing, to an HTTP request."""
    if not patience.is_ready(sock, select.POLLIN, LOOK_S):
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if not patience.is_ready(sock, select.POLLIN, LOOK_S):
            return b""
    said = sock.recv(64)
    while said and _GREETING.startswith(said) and patience.is_ready(sock, select.POLLIN, LOOK_S):
        more = sock.recv(64)
        if not more:
            break
        said += more
    return said
