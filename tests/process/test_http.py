"""The HTTP server against real connections: those that ask, and those that only keep it waiting."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from msgspec import structs

from syncsvc.daemon import http
from syncsvc.daemon.http import MAX_CONNECTIONS, HttpServer
from syncsvc.observe.status import ServiceStatus
from tests.statuses import SERVICE

DRIPS = 400
PAUSE_S = 0.02
HEALTHY = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def status() -> ServiceStatus:
    return structs.replace(SERVICE, is_ready=False, streams={}, groups={})


@pytest.fixture
def patient() -> Iterator[tuple[str, int]]:
    """A server whose deadline no test lives to see."""
    yield from serving(3600)


@pytest.fixture
def hasty() -> Iterator[tuple[str, int]]:
    """A server that wants the request in a fifth of a second."""
    yield from serving(0.2)


def serving(request_timeout_s: float) -> Iterator[tuple[str, int]]:
    server = HttpServer("127.0.0.1:0", status, request_timeout_s=request_timeout_s)
    server.start()
    host, port = server.address.split(":")
    yield host, int(port)
    server.stop()


def everything_from(connection: socket.socket) -> bytes:
    """What comes until the server closes; a server that does not fails the test with ``TimeoutError``."""
    connection.settimeout(20)
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionError:
        pass  # closed while something of ours was unread
    return received


def ask(address: tuple[str, int], request: bytes = HEALTHY) -> bytes:
    with socket.create_connection(address, 20) as connection:
        connection.sendall(request)
        return everything_from(connection)


def is_closed_after(connection: socket.socket, pieces: list[bytes]) -> bool:
    """Send the pieces, a little apart; whether the server closed before the last of them."""
    connection.settimeout(PAUSE_S)
    for piece in pieces:
        try:
            connection.sendall(piece)
            if not connection.recv(1024):
                return True
        except TimeoutError:
            continue  # it is still listening
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize(
    "pieces",
    [
        [b"G"] * DRIPS,
        [HEALTHY[:-2], *[b"X"] * DRIPS],
        [HEALTHY[:-2], *[b"X-More: 1\r\n"] * 80],
    ],
    ids=["request line", "a header", "headers without end"],
)
def test_dripping_does_not_move_the_deadline(hasty: tuple[str, int], pieces: list[bytes]) -> None:
    with socket.create_connection(hasty, 20) as connection:
        assert is_closed_after(connection, pieces)
    assert ask(hasty).startswith(b"HTTP/1.0 200")


def test_a_connection_that_says_nothing_is_closed(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, 20) as connection:
        assert everything_from(connection) == b""


def test_a_health_check_gets_through_while_sixty_connections_drip(patient: tuple[str, int]) -> None:
    with ExitStack() as open_ones:
        for _ in range(60):
            dripping = open_ones.enter_context(socket.create_connection(patient, 20))
            dripping.sendall(b"GET /hea")
        for _ in range(3 * MAX_CONNECTIONS):
            answer = ask(patient)
            assert answer.startswith(b"HTTP/1.0 200"), answer
            assert answer.endswith(b"ok\n")


def test_who_has_been_silent_longest_makes_room_and_the_others_are_still_answered(patient: tuple[str, int]) -> None:
    with ExitStack() as open_ones:
        waiting = [open_ones.enter_context(socket.create_connection(patient, 20)) for _ in range(MAX_CONNECTIONS + 2)]
        assert [everything_from(connection) for connection in waiting[:2]] == [b"", b""]
        for connection in waiting[2:]:
            connection.sendall(HEALTHY)
            assert everything_from(connection).endswith(b"ok\n")


def test_a_request_in_two_pieces_is_answered(patient: tuple[str, int]) -> None:
    with socket.create_connection(patient, 20) as connection:
        connection.sendall(HEALTHY[:9])
        connection.sendall(HEALTHY[9:])
        assert everything_from(connection).startswith(b"HTTP/1.0 200")


def test_a_foreign_name_and_another_method_are_refused(patient: tuple[str, int]) -> None:
    assert ask(patient, b"GET /healthz HTTP/1.1\r\nHost: rebound.example\r\n\r\n").startswith(b"HTTP/1.0 421")
    assert ask(patient, b"DELETE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.0 501")


def test_without_a_descriptor_for_who_waits_it_takes_a_breath_and_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, has_tried = list[int](), threading.Event()

    def accept(_: socket.socket) -> None:
        tries.append(1)
        has_tried.set()
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(http, "BREATHER_S", 3600)
    server = HttpServer("127.0.0.1:0", status)
    monkeypatch.setattr(socket.socket, "accept", accept)
    server.start()
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), 20):
        assert has_tried.wait(20)
        server.stop()
    assert len(tries) == 1
