"""The gate on real sockets: who is on the list comes in, who is not gets nothing, also while nobody answers for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from syncsvc.certificates import ClientKeys, Guard, KeyPair
from syncsvc.client.connecting import Admission, connect
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import NoAnswer
from syncsvc.publish.gate import Gate
from syncsvc.publish.live import LiveOutlet
from tests.e2e.harness import wait_for

TOPIC = b"batch/all"


def pair() -> KeyPair:
    return KeyPair(*zmq.curve_keypair())


class Rig:
    """An outlet behind a gate, and clients; nothing is served but in ``turn``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server = folder, pair()
        self.alice, self.bob, self.stranger = pair(), pair(), pair()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.gate = Gate(self.context, self.guard(alice=self.alice, bob=self.bob))
        self.outlet = LiveOutlet(SYSTEM_CLOCK, lambda _: 8, lambda: None)
        self.live = self.outlet.bind(self.context, "tcp://127.0.0.1:0", gate=self.gate)
        self.clients: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.is_answering = True
        self.doors: list[Admission] = []
        self.sockets: list[zmq.Socket[bytes]] = []

    def guard(self, **clients: KeyPair) -> Guard:
        return Guard(self.server, {one.public: name for name, one in clients.items()})

    def client(self, keys: KeyPair | None, server: bytes | None = None) -> tuple["zmq.Socket[bytes]", Admission]:
        """A subscriber, and what it knows of its door."""
        sock = self.clients.socket(zmq.SUB)
        sock.subscribe(b"")
        ours = None if keys is None else ClientKeys(keys, server or self.server.public, str(self.folder))
        door = Admission(sock, ours)
        self.doors.append(door)
        self.sockets.append(sock)
        connect(sock, self.live, ours)
        return sock, door

    def turn(self) -> None:
        """Serve, and send a message to everybody who is there."""
        if self.is_answering:
            self.gate.serve()
        self.outlet.serve()
        self.outlet.socket.send_multipart([TOPIC, b"pixels"])

    def until(self, look: Callable[[], bool], what: str) -> None:
        def turned() -> bool:
            self.turn()
            return look()

        wait_for(turned, what)

    def hears(self, sock: "zmq.Socket[bytes]") -> bool:
        """Whether a client is let in, and gets what is sent from now on."""
        while sock.poll(0):
            sock.recv_multipart()
        self.turn()
        return bool(sock.poll(50))

    def close(self) -> None:
        for door in self.doors:
            door.close()
        for sock in self.sockets:
            sock.close(0)
        self.clients.destroy(0)
        self.context.destroy(0)


def why_not(door: Admission, endpoint: str) -> str:
    """What a client is told of why it is not let in; empty where there is nothing to tell."""
    try:
        door.check(endpoint)
    except NoAnswer as error:
        return "list" if "not on its list" in str(error) else "server.key"
    return ""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_only_who_is_on_the_list_and_knows_the_service_comes_in(rig: Rig) -> None:
    outsiders = [rig.client(None), rig.client(rig.stranger), rig.client(rig.alice, pair().public)]
    refused: set[str] = set()

    def are_refused() -> bool:
        refused.update(why_not(door, rig.live) for _, door in outsiders)
        return refused == {"", "list", "server.key"}

    rig.until(are_refused, "two refusals, each for its reason")
    listed, _ = rig.client(rig.alice)  # who comes last is served, and still nobody else is
    rig.until(lambda: rig.hears(listed), "a message for who is on the list")
    assert not any(sock.poll(0) for sock, _ in outsiders)


@pytest.mark.parametrize("how", ["dead", "stuck"])
def test_while_nobody_answers_for_the_list_nobody_comes_in_and_who_is_in_stays(rig: Rig, how: str) -> None:
    before, _ = rig.client(rig.alice)
    rig.until(lambda: rig.hears(before), "a message for who came before")
    if how == "dead":
        rig.gate.close()
    rig.is_answering = False
    newcomers = [rig.client(keys)[0] for keys in (rig.bob, rig.stranger)]
    monitor = newcomers[0].get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
    rig.until(lambda: bool(monitor.poll(0)), "an attempt to come in")
    assert rig.hears(before)
    assert not any(sock.poll(100) for sock in newcomers)
    newcomers[0].disable_monitor()
    monitor.close(0)


def test_who_is_taken_off_the_list_is_cut_off_and_the_others_miss_nothing(rig: Rig) -> None:
    (alice, _), (bob, door) = rig.client(rig.alice), rig.client(rig.bob)
    rig.until(lambda: rig.hears(alice) and rig.hears(bob), "messages for both")
    rig.gate.follow(rig.guard(alice=rig.alice))
    rig.outlet.serve()
    rig.until(lambda: not rig.hears(bob), "silence for who was taken off")
    rig.until(lambda: why_not(door, rig.live) == "list", "another attempt to come in")
    assert rig.hears(alice)
    assert not rig.hears(bob)


def test_who_came_in_before_and_says_nothing_until_he_is_off_the_list_gets_nothing(rig: Rig) -> None:
    bob = rig.clients.socket(zmq.SUB)
    rig.sockets.append(bob)
    monitor = bob.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    connect(bob, rig.live, ClientKeys(rig.bob, rig.server.public, ""))
    rig.until(lambda: bool(monitor.poll(0)), "a handshake")
    assert int.from_bytes(monitor.recv_multipart()[0][:2], "little") == zmq.EVENT_HANDSHAKE_SUCCEEDED
    rig.gate.follow(rig.guard(alice=rig.alice))
    rig.until(lambda: bool(monitor.poll(0)), "the end of his connection")
    bob.subscribe(b"")
    assert not rig.hears(bob)
    bob.disable_monitor()
    monitor.close(0)
