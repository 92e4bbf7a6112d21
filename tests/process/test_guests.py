"""Who may be connected to the service's sockets: as many as leave room for the captures."""

import logging
import socket
from contextlib import ExitStack
from typing import Any, cast

import pytest
import zmq

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.publish.control import Control
from syncsvc.publish.guests import Guests
from syncsvc.publish.lossless import LosslessOutlet
from syncsvc.publish.sockets import bind
from syncsvc.publish.store import MemoryStore

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
            late.setblocking(False)
            while is_open(late):
                guests.look()
            assert len(guests) == MOST
        assert all(is_open(one) for one in staying)
    assert "control: 1 connections were cut off beyond the 3 that there is room for" in caplog.messages


def is_open(connection: socket.socket) -> bool:
    """Whether the other end has not hung up yet; what it said before is passed over."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(4096))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_a_client_is_answered_while_strangers_take_every_place_but_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    lossless = LosslessOutlet(SYSTEM_CLOCK, MemoryStore(8, 1 << 20), is_patient=False)
    control = Control(cast(Any, lambda: None), cast(Any, lambda: None), SYSTEM_CLOCK, lossless)
    with zmq.Context() as context, ExitStack() as opened:
        endpoint = control.bind(context, "tcp://127.0.0.1:0", MOST)
        opened.callback(control.close)
        asker = opened.enter_context(context.socket(zmq.DEALER))
        asker.connect(endpoint)
        asker.send(b"nonsense")
        while not asker.poll(10):
            control.serve()
        address = "127.0.0.1", int(endpoint.rpartition(":")[2])
        strangers = [opened.enter_context(socket.create_connection(address, 30)) for _ in range(10 * MOST)]
        while sum(map(is_open, strangers)) >= MOST:
            control.serve()
        asker.send(b"nonsense")
        asker.recv()
        while not asker.poll(10):
            control.serve()
