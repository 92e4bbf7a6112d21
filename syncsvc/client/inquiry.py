"""Asks a running service how it is, by whichever of its endpoints somebody knows, and says who is there instead.

On this host a service tells where its ``control`` is to whoever connects as subscribers in mode ``local`` do. Elsewhere
it is looked for beside ``live``. ``live`` itself says it too, but to subscribers: a subscription counts for a service
that waits for them, so it is made only where somebody asks how the service is and nothing else tells.
"""

import math
import select
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, Final, Self

import msgspec
import zmq

from syncsvc import wire
from syncsvc.certificates import ClientKeys
from syncsvc.client.connecting import Admission, Keys, connect, keys_in
from syncsvc.client.live import check_endpoint
from syncsvc.client.presence import LOOK_S, Patience, look, refuse_wrong_keys
from syncsvc.errors import LinkClosed, NoAnswer, TransportError, WireError
from syncsvc.transport import leasing
from syncsvc.transport.leasing import FromService, LeaseSocket, Welcome
from syncsvc.wire import GroupTerms

PATIENCE_S: Final = 1.7
MAX_ANSWER_BYTES: Final = 1 << 24
_GUESSES_S: Final = 0.4
_LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "*")

_Read = Callable[[list[bytes]], dict[str, Any] | None]


def ask_status(endpoint: str, patience_s: float = PATIENCE_S, keys: Keys = None) -> dict[str, Any]:
    """What a service tells of itself (``observe.status.ReceiverStatus``, as plain values).

    Args:
        endpoint: its ``control`` or its ``live``.
        patience_s: how long an answer is waited for, in all.
        keys: the folder of a client's keys; None: that of SYNCSVC_KEYS, if any.

    Raises:
        UsageError: that is no endpoint.
        NoAnswer: there is no service, or none that answers.
    """
    check_endpoint(endpoint)
    with _Inquiry(endpoint, Patience(patience_s), keys_in(keys)) as inquiry:
        return inquiry.ask(inquiry.control(subscribes=True), "status")


def ask_groups(live: str, patience: Patience, keys: ClientKeys | None = None) -> list[str]:
    """The groups of the service whose ``live`` is there, without a subscription.

    Raises:
        NoAnswer: there is no service, or none that answers, or that is its ``control``.
        SubscriberClosed: the bell rang.
    """
    with _Inquiry(live, patience, keys) as inquiry:
        control = inquiry.control(subscribes=False)
        said = inquiry.ask(control, "hello")
    if control == live:
        problem = f"that is the `control` of a service; its `live` is {_as_seen_from_here(str(said.get('live')), live)}"
        raise NoAnswer(live, problem, may_come=False)
    return [str(name) for name in said.get("groups") or ()]


def ask_terms(live: str, patience: Patience, keys: ClientKeys | None = None) -> dict[str, GroupTerms]:
    """What each group of the service promises whose ``live`` is there.

    Raises:
        NoAnswer: there is no service, or none that answers.
        SubscriberClosed: the bell rang.
    """
    with _Inquiry(live, patience, keys) as inquiry:
        said = inquiry.ask(inquiry.control(subscribes=True), "hello")
    try:
        return msgspec.convert(said.get("groups"), dict[str, GroupTerms])
    except msgspec.ValidationError as error:
        raise NoAnswer(live, f"its `control` says of its groups what cannot be read: {error}") from error


def find_control(endpoint: str, patience: Patience, keys: ClientKeys | None = None) -> str:
    """Where the ``control`` of a service is that somebody knows by its ``live``; see above.

    Raises:
        NoAnswer: there is no service, or none that tells.
        SubscriberClosed: the bell rang.
    """
    with _Inquiry(endpoint, patience, keys) as inquiry:
        return inquiry.control(subscribes=True)


class _Inquiry:
    """The sockets of one question; everything is closed at the end."""

    def __init__(self, endpoint: str, patience: Patience, keys: ClientKeys | None) -> None:
        self._endpoint, self._patience, self._keys = endpoint, patience, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._doors: dict[zmq.Socket[bytes], Admission] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for door in self._doors.values():
            door.close()
        self._context.destroy(linger=0)
        if isinstance(error, zmq.ZMQError):
            raise NoAnswer(self._endpoint, f"nobody can be asked: {error.strerror}") from error

    def ask(self, control: str, what: str) -> dict[str, Any]:
        """What ``control`` answers to one word.

        Raises:
            NoAnswer: nothing, or something else.
        """
        asker = self._asker(control, what)
        answer = self._wait({asker: _answer})
        if answer is None:
            self._doors[asker].check(self._endpoint)
            refuse_wrong_keys(control, Patience(LOOK_S, self._patience.bell), has_keys=self._keys is not None)
            raise NoAnswer(
                self._endpoint, f"its `control` at {control} does not answer: the service is stuck, or stops"
            )
        if answer.get("type") != what:
            raise NoAnswer(self._endpoint, f"its `control` answers: {answer.get('problem', 'nothing that is known')}")
        return {key: value for key, value in answer.items() if key not in ("v", "type")}

    def control(self, *, subscribes: bool) -> str:
        """Where ``control`` is: as the service says on this host, here, at the next port, or as ``live`` says.

        Raises:
            NoAnswer: nobody is there, or somebody else.
        """
        if told := _told_on_this_host(self._endpoint, self._patience):
            return _as_seen_from_here(told, self._endpoint)
        look(self._endpoint, self._patience, has_keys=self._keys is not None)
        beside = _next_port(self._endpoint)
        readers: dict[zmq.Socket[bytes], _Read] = {}
        own = self._asker(self._endpoint, "hello")
        door = self._doors[own]
        readers[own] = lambda parts: _with(_answer(parts), self._endpoint)
        if beside is not None:
            readers[self._asker(beside, "hello")] = lambda parts: (
                _with(said, beside) if (said := _answer(parts)) and self._is_ours(said) else None
            )
        found = self._wait(readers, _GUESSES_S if subscribes else PATIENCE_S)
        if found is None and subscribes:
            listener = self._socket(zmq.SUB)
            listener.subscribe(wire.STATUS_TOPIC)
            connect(listener, self._endpoint, self._keys)
            readers[listener] = _told_by_live
            found = self._wait(readers)
        if found is None:
            door.check(self._endpoint)
            problem = "it is no syncsvc service" if subscribes else "it does not say that it is a syncsvc service"
            raise NoAnswer(self._endpoint, f"a program that speaks ZeroMQ is there, but {problem}")
        if not found["control"]:
            raise NoAnswer(self._endpoint, "its service does not say where its `control` is: ask at that endpoint")
        return _as_seen_from_here(str(found["control"]), self._endpoint)

    def _is_ours(self, said: Mapping[str, Any]) -> bool:
        """Whether who answered is the service whose ``live`` was asked for."""
        return str(said.get("live", "")).rpartition(":")[2] == self._endpoint.rpartition(":")[2]

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        """A socket that stays open until the end: one that nobody refers to any more warns of itself."""
        self._sockets.append(sock := self._context.socket(kind))
        return sock

    def _asker(self, endpoint: str, what: str) -> "zmq.Socket[bytes]":
        asker = self._socket(zmq.DEALER)
        asker.set(zmq.MAXMSGSIZE, MAX_ANSWER_BYTES)
        self._doors[asker] = Admission(asker, self._keys)
        connect(asker, endpoint, self._keys)
        # Where somebody who is no ROUTER has refused us already, as `live` does, nobody is left to send to, for ever.
        with suppress(zmq.Again):
            asker.send(wire.encode_control({"type": what}), zmq.DONTWAIT)
        return asker

    def _wait(self, readers: "Mapping[zmq.Socket[bytes], _Read]", most_s: float = PATIENCE_S) -> dict[str, Any] | None:
        """The first answer that a reader takes for one.

        Raises:
            SubscriberClosed: the bell rang.
        """
        part, poller = Patience(min(most_s, self._patience.left_ms() / 1000), self._patience.bell), zmq.Poller()
        poller.register(part.bell.fd, zmq.POLLIN)
        for sock in readers:
            poller.register(sock, zmq.POLLIN)
        while (left_ms := part.left_ms()) > 0:
            for sock, _ in poller.poll(left_ms):
                part.check({sock} if isinstance(sock, int) else set())
                with suppress(WireError):
                    answer = readers[sock](sock.recv_multipart())
                    if answer is not None:
                        return answer
        return None


def _told_on_this_host(endpoint: str, patience: Patience) -> str:
    """Where ``control`` is, as a service of our own user on this host says; empty where there is none.

    One that is there is waited for, however slow the machine: who looked elsewhere meanwhile would subscribe to find
    out, and so begin what waits for its subscribers.

    Raises:
        NoAnswer: it is there, and says nothing.
        SubscriberClosed: the bell rang.
    """
    sock = leasing.connect(endpoint, is_ours=True)
    if sock is None:
        return ""
    with closing(LeaseSocket[FromService](sock, FromService)) as link, suppress(LinkClosed, TransportError):
        if not patience.is_ready(sock, select.POLLIN, math.inf):
            raise NoAnswer(endpoint, "it does not answer: the service is stuck, or stops")
        if (received := link.receive()) is not None:
            return received[0].control if isinstance(received[0], Welcome) else ""
    return ""


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
