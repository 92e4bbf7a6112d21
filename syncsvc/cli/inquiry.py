"""Asks a running service how it is, by whichever of its endpoints somebody knows, and says who is there instead.

A subscription counts for a service that waits for subscribers, so ``live`` is subscribed to only where nothing else
tells where ``control`` is.
"""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import zmq

from syncsvc import wire
from syncsvc.client.live import check_endpoint
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import NoAnswer, WireError

PATIENCE_S: Final = 1.7
MAX_ANSWER_BYTES: Final = 1 << 24
_GUESSES_S: Final = 0.4
_LOOK_S: Final = 0.3
_CONNECT_S: Final = 1.0
_GREETING: Final = b"\xff\x00\x00\x00\x00\x00\x00\x00"
"""How a ZeroMQ peer greets; its ninth byte differs."""
_LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "*")


def ask_status(endpoint: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """What a service tells of itself (``observe.status.ReceiverStatus``, as plain values).

    Args:
        endpoint: its ``control`` or its ``live``.
        patience_s: how long an answer is waited for, in all.

    Raises:
        UsageError: that is no endpoint.
        NoAnswer: there is no service, or none that answers.
    """
    check_endpoint(endpoint)
    until_ns = SYSTEM_CLOCK.monotonic_ns() + round(patience_s * NS_PER_S)
    _look(endpoint)
    with closing(_Inquiry(endpoint, until_ns)) as inquiry:
        return inquiry.status()


class _Inquiry:
    """The sockets of one question; everything is closed at the end."""

    def __init__(self, endpoint: str, until_ns: int) -> None:
        self._endpoint, self._until_ns = endpoint, until_ns
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def close(self) -> None:
        self._context.destroy(linger=0)

    def status(self) -> dict[str, Any]:
        control = self._control()
        answer = self._wait({self._ask(control, "status"): _answer}, self._left_s())
        if answer is None:
            raise NoAnswer(
                self._endpoint, f"its `control` at {control} does not answer: the service is stuck, or stops"
            )
        if answer.get("type") != "status":
            raise NoAnswer(self._endpoint, f"its `control` answers: {answer.get('problem', 'nothing that is known')}")
        return {key: value for key, value in answer.items() if key not in ("v", "type")}

    def _control(self) -> str:
        """Where ``control`` is: here, at the next port as by default, or where ``live`` says."""
        beside = _next_port(self._endpoint)
        readers: dict[zmq.Socket[bytes], Callable[[list[bytes]], dict[str, Any] | None]] = {}
        own = self._ask(self._endpoint, "hello")
        readers[own] = lambda parts: _with(_answer(parts), self._endpoint)
        if beside is not None:
            readers[self._ask(beside, "hello")] = lambda parts: (
                _with(said, beside) if (said := _answer(parts)) and self._is_ours(said) else None
            )
        found = self._wait(readers, min(_GUESSES_S, self._left_s()))
        if found is None:
            listener = self._context.socket(zmq.SUB)
            listener.set(zmq.LINGER, 0)
            listener.subscribe(wire.STATUS_TOPIC)
            listener.connect(self._endpoint)
            readers[listener] = _told_by_live
            found = self._wait(readers, self._left_s())
        if found is None:
            raise NoAnswer(self._endpoint, "a program that speaks ZeroMQ is there, but it is no syncsvc service")
        if not found["control"]:
            raise NoAnswer(self._endpoint, "its service does not say where its `control` is: ask at that endpoint")
        return _as_seen_from_here(str(found["control"]), self._endpoint)

    def _is_ours(self, said: Mapping[str, Any]) -> bool:
        """Whether who answered is the service whose ``live`` was asked for."""
        return str(said.get("live", "")).rpartition(":")[2] == self._endpoint.rpartition(":")[2]

    def _ask(self, endpoint: str, what: str) -> "zmq.Socket[bytes]":
        asker = self._context.socket(zmq.DEALER)
        asker.set(zmq.LINGER, 0)  # a question that nobody took would keep the context from its end
        asker.set(zmq.MAXMSGSIZE, MAX_ANSWER_BYTES)
        asker.set(zmq.IPV6, int("[" in endpoint))
        asker.connect(endpoint)
        asker.send(wire.encode_control({"type": what}))
        return asker

    def _left_s(self) -> float:
        return max(0.0, (self._until_ns - SYSTEM_CLOCK.monotonic_ns()) / NS_PER_S)

    def _wait(
        self, readers: "Mapping[zmq.Socket[bytes], Callable[[list[bytes]], dict[str, Any] | None]]", seconds: float
    ) -> dict[str, Any] | None:
        """The first answer that a reader takes for one."""
        until_ns = SYSTEM_CLOCK.monotonic_ns() + round(seconds * NS_PER_S)
        poller = zmq.Poller()
        for sock in readers:
            poller.register(sock, zmq.POLLIN)
        while (left_ns := until_ns - SYSTEM_CLOCK.monotonic_ns()) > 0:
            for sock, _ in poller.poll(-(-left_ns // NS_PER_MS)):
                with suppress(WireError):
                    answer = readers[sock](sock.recv_multipart())
                    if answer is not None:
                        return answer
        return None


def _answer(parts: list[bytes]) -> dict[str, Any]:
    return wire.decode_control(parts[-1], MAX_ANSWER_BYTES)


def _with(said: dict[str, Any], control: str) -> dict[str, Any]:
    return {**said, "control": control}


def _told_by_live(parts: list[bytes]) -> dict[str, Any] | None:
    return {"control": wire.decode_status(parts[1]).control} if len(parts) == 2 else None


def _next_port(endpoint: str) -> str | None:
    """Where ``control`` is by default, beside a ``live`` over TCP."""
    place, _, port = endpoint.rpartition(":")
    return f"{place}:{int(port) + 1}" if endpoint.startswith("tcp://") and int(port) < 65_535 else None


def _as_seen_from_here(control: str, endpoint: str) -> str:
    """A service on another host calls itself by a name that only it goes by."""
    if not control.startswith("tcp://") or not endpoint.startswith("tcp://"):
        return control
    host, asked = (text.removeprefix("tcp://").rpartition(":")[0] for text in (control, endpoint))
    return f"tcp://{asked}:{control.rpartition(':')[2]}" if host in _LOCAL_HOSTS else control


def _look(endpoint: str) -> None:
    """See who is there.

    Raises:
        NoAnswer: nobody, or somebody who does not speak ZeroMQ.
    """
    try:
        with _connected(endpoint) as sock:
            sock.settimeout(_LOOK_S)
            said = b"".join(_first_bytes(sock))
    except OSError as error:
        why = "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise NoAnswer(endpoint, f"no service is there ({why}); `syncsvc run CONFIG` starts one") from None
    if said.startswith(_GREETING):
        return
    if said.startswith(b"HTTP/"):
        raise NoAnswer(endpoint, "an HTTP server is there, not a service's `live` or `control`")
    raise NoAnswer(endpoint, "something is there that does not speak ZeroMQ" if said else "who is there says nothing")


def _connected(endpoint: str) -> socket.socket:
    if endpoint.startswith("ipc://"):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(_LOOK_S)
            sock.connect(endpoint.removeprefix("ipc://"))
        except OSError:
            sock.close()
            raise
        return sock
    parts = urlsplit(endpoint)
    return socket.create_connection((parts.hostname or "", parts.port or 0), _CONNECT_S)


def _first_bytes(sock: socket.socket) -> Iterator[bytes]:
    """What a peer says by itself or, if that is nothing, to an HTTP request."""
    with suppress(TimeoutError):
        yield sock.recv(64)
        return
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    with suppress(TimeoutError):
        yield sock.recv(64)
