"""Who may be connected to the service's sockets: as many as leave room for the captures."""

import logging
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

import pytest
import zmq

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.publish.audience import MOST_TOPICS, MOST_TOPICS_OF_ALL
from syncsvc.publish.control import Control
from syncsvc.publish.guests import MOST_UNREAD_BYTES, Guests, _Guest
from syncsvc.publish.live import BACKLOGS, LiveOutlet
from syncsvc.publish.lossless import LosslessOutlet
from syncsvc.publish.outlet import Prepared
from syncsvc.publish.sockets import bind
from syncsvc.publish.store import MemoryStore
from syncsvc.wire import batch_topic
from tests.batches import batch
from tests.zmtp import is_cut_off, part, raw_peer, subscription

MOST = 3


def everything_from(connection: socket.socket) -> bytes:
    """What comes until the other end hangs up; one that does not fails the test with ``TimeoutError``."""
    connection.settimeout(30)
    received = b""
    while data := connection.recv(4096):
        received += data
    return received


def test_who_comes_when_there_is_no_room_is_cut_off_and_counted_and_the_others_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ExitStack() as opened:
        context = opened.enter_context(zmq.Context())
        sock, endpoint = bind(context, zmq.ROUTER, "tcp://127.0.0.1:0", send_mark=1, most_bytes=1024)
        opened.callback(sock.close, 0)
        guests = Guests(sock, "control", MOST, SYSTEM_CLOCK)
        opened.callback(guests.close)
        address = "127.0.0.1", int(endpoint.rpartition(":")[2])
        staying = []
        for number in range(1, MOST + 1):
            staying.append(opened.enter_context(socket.create_connection(address, 30)))
            while len(guests) < number:
                guests.look()
        for _ in range(5):
            late = opened.enter_context(socket.create_connection(address, 30))
            while not is_cut_off(late):
                guests.look()
            assert len(guests) == MOST
        assert not any(map(is_cut_off, staying))
    assert "control: 1 connections were cut off beyond the 3 that there is room for" in caplog.messages


@contextmanager
def served_control(context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[tuple[Control, str]]:
    """A control socket with room for ``MOST``, and its endpoint."""
    lossless = LosslessOutlet(SYSTEM_CLOCK, MemoryStore(8, 1 << 20), is_patient=False)
    control = Control(cast(Any, lambda: None), cast(Any, lambda: None), SYSTEM_CLOCK, lossless)
    endpoint = control.bind(context, "tcp://127.0.0.1:0", MOST)
    try:
        yield control, endpoint
    finally:
        control.close()


@contextmanager
def live_outlet() -> Iterator[tuple[LiveOutlet, str]]:
    """A live socket, and its endpoint."""
    outlet = LiveOutlet(SYSTEM_CLOCK, lambda group: 1, lambda: None)
    with zmq.Context() as context:
        endpoint = outlet.bind(context, "tcp://127.0.0.1:0")
        try:
            yield outlet, endpoint
        finally:
            outlet.end(lambda: b"ended", lambda: False, is_over=False, linger_ms=0)


def send_until_cut_off(peer: socket.socket, word: bytes, serve: Callable[[], None]) -> int:
    """Say it again and again while the other end serves; how many bytes that were."""
    sent, words = 0, word * (1 + (1 << 16) // len(word))
    while not is_cut_off(peer):
        peer.setblocking(False)
        with suppress(OSError):
            sent += peer.send(words[sent % len(words) :])
        serve()
    return sent


def test_a_client_is_answered_while_strangers_take_every_place_but_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    with zmq.Context() as context, ExitStack() as opened:
        control, endpoint = opened.enter_context(served_control(context))
        asker = opened.enter_context(context.socket(zmq.DEALER))
        asker.connect(endpoint)
        asker.send(b"nonsense")
        while not asker.poll(10):
            control.serve()
        address = "127.0.0.1", int(endpoint.rpartition(":")[2])
        strangers = [opened.enter_context(socket.create_connection(address, 30)) for _ in range(10 * MOST)]
        while len(strangers) - sum(map(is_cut_off, strangers)) >= MOST:
            control.serve()
        asker.send(b"nonsense")
        asker.recv()
        while not asker.poll(10):
            control.serve()


def test_a_message_without_an_end_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    endless = part(b"\x01" + bytes(200), has_more=True)
    with live_outlet() as (outlet, endpoint), raw_peer(endpoint) as peer:
        assert send_until_cut_off(peer, endless, outlet.serve) > MOST_UNREAD_BYTES
    with (
        zmq.Context() as context,
        served_control(context) as (control, endpoint),
        raw_peer(endpoint, b"DEALER") as peer,
    ):
        assert send_until_cut_off(peer, endless, control.serve) > MOST_UNREAD_BYTES
    for name in ("live", "control"):
        assert f"{name}: 1 connections were cut off that sent more than is read of them" in caplog.messages


def test_who_says_much_that_is_read_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many times what may be unread, in words so short that the framing is most of it."""
    most, answered = 1 << 12, Counter[bytes]()
    monkeypatch.setattr("syncsvc.publish.guests.MOST_UNREAD_BYTES", most)
    with (
        zmq.Context() as context,
        served_control(context) as (control, endpoint),
        raw_peer(endpoint, b"DEALER") as peer,
    ):
        monkeypatch.setattr(control, "answer", lambda word: answered.update([word]) or b"")
        for rounds in range(1, 6):
            peer.sendall(part(b"?") * (most // 4))
            while answered[b"?"] < rounds * (most // 4):
                control.serve()
        assert not is_cut_off(peer)


@pytest.mark.parametrize("why", ["", "that sent too much"])
def test_a_connection_that_is_gone_before_that_is_told_is_looked_at_and_hung_up_without_harm(why: str) -> None:
    """Libzmq closes a descriptor first; it may be another file's by then."""
    with zmq.Context() as context, served_control(context) as (control, _), tempfile.TemporaryFile() as other:
        guests = control._guests
        for descriptor in (1_000_000, other.fileno()):
            guests._here[descriptor] = _Guest(0)
            guests._watch(SYSTEM_CLOCK.monotonic_ns())
            guests.hang_up(descriptor, why)
            assert descriptor not in guests
        other.write(b"as before")


def test_who_comes_and_asks_while_the_guests_were_just_looked_at_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with live_outlet() as (outlet, endpoint), raw_peer(endpoint) as peer:
        peer.sendall(subscription(b"batch/lobby"))
        assert outlet.socket.poll(30_000)
        with monkeypatch.context() as blind:
            blind.setattr(outlet._guests, "look", lambda: None)
            outlet.serve()
        outlet.serve()
        assert outlet.subscriptions == 1
        assert outlet.wants(batch_topic("lobby"))


def test_who_asks_for_too_many_topics_is_cut_off_and_the_others_keep_theirs(caplog: pytest.LogCaptureFixture) -> None:
    with live_outlet() as (outlet, endpoint), raw_peer(endpoint) as honest, raw_peer(endpoint) as greedy:
        honest.sendall(subscription(b"batch/lobby"))
        greedy.sendall(b"".join(subscription(b"%d" % number) for number in range(MOST_TOPICS + 1)))
        while not is_cut_off(greedy):
            outlet.serve()
        assert not is_cut_off(honest)
        assert outlet.wants(batch_topic("lobby"))
        outlet.serve()
    assert "live: 1 connections were cut off that asked for too many topics" in caplog.messages


def test_all_together_may_ask_for_so_many_topics_and_then_one_goes() -> None:
    with live_outlet() as (outlet, endpoint), ExitStack() as opened:
        peers = [opened.enter_context(raw_peer(endpoint)) for _ in range(MOST_TOPICS_OF_ALL // MOST_TOPICS + 1)]
        for peer in peers:
            peer.sendall(b"".join(subscription(b"%d" % number) for number in range(MOST_TOPICS)))
        while not any(map(is_cut_off, peers)) or outlet.socket.poll(0):
            outlet.serve()
        assert sum(map(is_cut_off, peers)) == 1


def test_who_stands_still_goes_when_too_much_waits_for_all_of_them_and_who_reads_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each stopped at another moment, and so has batches of its own waiting for it."""
    with live_outlet() as (outlet, endpoint), raw_peer(endpoint) as reader, ExitStack() as opened:
        reader.sendall(subscription(b"batch/"))
        still: list[socket.socket] = []
        while "live: 1 connections were cut off that took nothing of what was sent to them" not in caplog.messages:
            if len(still) < 2 * BACKLOGS:
                still.append(opened.enter_context(raw_peer(endpoint)))
                still[-1].sendall(subscription(b"batch/"))
            while outlet.subscriptions <= len(still):
                outlet.serve()
            copies = [bytes(8 << 20)]
            outlet.send(Prepared(batch(group="lobby"), batch_topic("lobby"), b"", (), copies), lambda: False)
            outlet.serve()
            reader.setblocking(False)
            with suppress(BlockingIOError):
                while reader.recv(1 << 20):
                    pass
        assert len(still) > BACKLOGS
        assert not is_cut_off(reader)
