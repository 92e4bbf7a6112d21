"""A local subscriber's line: at any timing nothing is slept through, and what is called back goes home."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from syncsvc.client.local import LocalInlet
from syncsvc.client.sequence import SubscriberStats
from syncsvc.errors import LinkClosed, UsageError
from syncsvc.transport import leasing
from syncsvc.transport.leasing import Freed, FromSubscriber, Hello, Leased, LeaseSocket, Revoked, Ring, Said, Taken
from syncsvc.transport.ring import RingWriter
from syncsvc.wire import STATUS_TOPIC

SIZE = 64
PATIENCE_S = 60
"""Only a line that sleeps takes so long."""
pytestmark = pytest.mark.timeout(PATIENCE_S)


class Counter:
    """The service's end, with a ring of one slot that is leased again and again."""

    def __init__(self, sock: socket.socket) -> None:
        self.link: LeaseSocket[FromSubscriber] = LeaseSocket(sock, FromSubscriber)
        self.ring = RingWriter(1, 1, SIZE)
        slot = self.ring.acquire()
        assert slot is not None
        self.place = (1, slot, self.ring.commit(slot), SIZE)
        self.leased = 0
        self.heard: list[FromSubscriber] = []

    def greet(self) -> None:
        self.link.send(Ring("north", 1), self.ring.fd)

    def lease(self) -> int:
        self.link.send(Leased(b"batch/a", b"%d" % self.leased, self.leased, [self.place]))
        self.leased += 1
        return self.leased - 1

    def hears(self, kind: type, fits: Any = lambda message: True) -> bool:
        """Whether such a message came, or comes."""
        poller = select.poll()
        poller.register(self.link.fileno(), select.POLLIN)
        while not any(isinstance(message, kind) and fits(message) for message in self.heard):
            if not poller.poll(1000 * PATIENCE_S):
                return False
            while (word := self.link.receive()) is not None:
                self.heard.append(word[0])
        return True

    def close(self) -> None:
        self.link.close()
        self.ring.close()


@contextmanager
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalInlet, Counter]]:
    monkeypatch.setattr(leasing, "connect", lambda endpoint: None)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    counter = Counter(theirs)
    counter.greet()
    line = LocalInlet("ipc:///nowhere", None, SubscriberStats(), ours)
    try:
        yield line, counter
    finally:
        line.close()
        counter.close()


def taken_from(line: LocalInlet) -> list[Any]:
    """The next message, as a subscriber takes it."""
    while (parts := line.take()) is None:
        line.wait(None)
    return list(parts)


def test_nothing_is_slept_through_at_any_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service sends, and the user waits or is busy, whenever they like; each batch is answered for."""
    batches, pace = 400, Random(1)
    pauses = [pace.choice((0, 0, pace.uniform(0, 0.004))) for _ in range(2 * batches)]
    never = threading.Event()
    with connected(monkeypatch) as (line, counter):

        def serve() -> None:
            for number in range(batches):
                never.wait(pauses[2 * number])
                counter.lease()
                if number % 5 == 0:
                    counter.link.send(Revoked([number], number % 2 == 0))

        service = threading.Thread(target=serve)
        service.start()
        missing = set(range(batches))
        held: list[Any] = []
        while missing - {number for number in range(batches) if number % 10 == 5}:
            parts = taken_from(line)
            missing.remove(int(parts[1]))
            held = parts[2:]
            never.wait(pauses[2 * int(parts[1]) + 1])
        service.join()
        del parts, held
        home: set[int] = set()
        assert counter.hears(Freed, lambda message: bool(home.update(message.leases)) or len(home) == batches)


def test_what_is_called_back_goes_home_while_the_user_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(monkeypatch) as (line, counter):
        for _ in range(20):
            number = counter.lease()
            held = taken_from(line)
            assert counter.hears(Taken), "the service learns of it though nothing has come home"
            counter.link.send(Revoked([number], False))
            assert counter.hears(Freed, lambda message, number=number: number in message.leases)
            assert held[2].is_lost


def test_what_is_called_back_goes_home_while_the_user_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(monkeypatch) as (line, counter):
        number = counter.lease()
        held = taken_from(line)
        waiting = threading.Thread(target=line.wait, args=(None,))
        waiting.start()
        counter.link.send(Revoked([number], False))
        assert counter.hears(Freed, lambda message: number in message.leases)
        assert held[2].is_lost
        counter.lease()
        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()


def test_who_waits_having_taken_a_part_of_what_is_here_is_told_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(monkeypatch) as (line, counter):
        for _ in range(3):
            counter.link.send(Said(b"running"))
        while len(line._items) < 3:
            threading.Event().wait(0.001)
        for _ in range(3):
            line.wait(None)
            assert line.take() == [STATUS_TOPIC, b"running"]


def test_who_waits_hears_of_a_service_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(monkeypatch) as (line, counter):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        coming = [ours]
        monkeypatch.setattr(leasing, "connect", lambda endpoint: coming.pop() if coming else None)
        again = Counter(theirs)
        again.greet()
        again.lease()
        counter.link.close()
        assert taken_from(line)[:2] == [b"batch/a", b"0"]
        assert again.hears(Hello)
        assert again.hears(Taken)
        again.close()


def test_who_waits_hears_that_the_line_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(monkeypatch) as (line, _):
        waiting = threading.Thread(target=line.wait, args=(None,))
        waiting.start()
        line.close()
        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()


def test_who_leaves_before_anything_was_heard_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that somebody else made is ours to close, also where our thread comes too late for it."""
    has_left = threading.Event()
    run = LocalInlet._run

    def run_late(line: LocalInlet) -> None:
        has_left.wait(PATIENCE_S)
        run(line)

    monkeypatch.setattr(LocalInlet, "_run", run_late)
    with connected(monkeypatch) as (line, counter):
        line.leave()
        has_left.set()
        line.close()
        with pytest.raises(LinkClosed):
            counter.link.receive()


def test_a_service_of_another_user_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "is_trusted", lambda uid: False)
    with connected(monkeypatch) as (line, counter):
        with pytest.raises(UsageError, match="belongs to another user"):
            taken_from(line)
        line.close()
        with pytest.raises(LinkClosed):
            counter.link.receive()


def test_the_last_word_is_heard_though_the_service_hears_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that end at that very moment are given back to nobody, which is no reason not to read what was said."""
    with connected(monkeypatch) as (line, counter):
        gone = threading.Event()
        answer = line._answer

        def answer_late(*words: Any) -> None:
            gone.wait(PATIENCE_S)
            answer(*words)

        counter.lease()
        del taken_from(line)[:]
        monkeypatch.setattr(line, "_answer", answer_late)
        counter.lease()
        counter.link.send(Said(b"the end"))
        counter.link.close()
        gone.set()
        assert int(taken_from(line)[1]) == 1
        assert taken_from(line)[1] == b"the end"
