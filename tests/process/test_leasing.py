"""The Unix socket between a service and subscribers on its host: whole messages, descriptors, and no trust in bytes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from syncsvc.errors import LinkClosed, TransportError
from syncsvc.transport import leasing
from syncsvc.transport.leasing import Freed, FromService, FromSubscriber, Hello, Leased, LeaseSocket, Ring, Welcome


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends
    for end in ends:
        end.close()


def test_messages_come_whole_in_order_and_none_is_waited_for(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    subscriber: LeaseSocket[FromService] = LeaseSocket(raw[1], FromService)
    assert subscriber.receive() is None
    assert service.send(Welcome("run-1"))
    assert subscriber.send(Hello(None))
    assert subscriber.send(Freed([1, 2]))
    assert subscriber.receive() == (Welcome("run-1"), None)
    assert [service.receive(), service.receive(), service.receive()] == [
        (Hello(None), None),
        (Freed([1, 2]), None),
        None,
    ]
    assert subscriber.peer_uid == os.geteuid()
    subscriber.close()
    with pytest.raises(LinkClosed):
        service.receive()
    with pytest.raises(LinkClosed):
        service.send(Welcome("run-1"))


def test_a_descriptor_rides_on_its_message_and_is_the_readers(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    subscriber: LeaseSocket[FromService] = LeaseSocket(raw[1], FromService)
    reader, writer = os.pipe()
    assert service.send(Ring("north", 1), writer)
    os.close(writer)
    word = subscriber.receive()
    assert word is not None
    message, fd = word
    assert message == Ring("north", 1)
    assert fd is not None
    assert not os.get_inheritable(fd)
    os.write(fd, b"hello")
    os.close(fd)
    assert os.read(reader, 9) == b"hello"
    os.close(reader)


def test_a_message_of_any_length_arrives(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    subscriber: LeaseSocket[FromService] = LeaseSocket(raw[1], FromService)
    leased = Leased(b"batch/lobby", os.urandom(3_000_000), 7, [(1, 2, 3, 4)] * 10_000)
    assert service.send(leased)
    assert subscriber.receive() == (leased, None)


def test_who_does_not_read_loses_messages_and_no_part_of_one(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    subscriber: LeaseSocket[FromService] = LeaseSocket(raw[1], FromService)
    sent = 0
    while service.send(Leased(b"batch/lobby", bytes(50_000), sent, [])):
        sent += 1
    assert sent > 0
    got = []
    while (word := subscriber.receive()) is not None:
        assert isinstance(word[0], Leased)
        got.append(word[0].first_lease)
    assert got == list(range(sent))


GARBAGE = {
    "no map": b"\x93\x01\x02\x03",
    "no message": os.urandom(40),
    "unknown type": msgspec.msgpack.encode({"type": "shutdown"}),
    "wrong field": msgspec.msgpack.encode({"type": "freed", "leases": "all"}),
    "a parcel without content": msgspec.msgpack.encode({"type": "parcel", "size_bytes": 5}),
    "the other side's word": msgspec.msgpack.encode({"type": "welcome", "run_id": "x"}),
    "too long": bytes(200_000),
    "nested without end": b"\x82\xa4type\xa5freed\xa1x" + b"\x91" * 50_000,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_an_error_of_ours(raw: tuple[socket.socket, socket.socket], data: bytes) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    raw[1].send(data)
    with pytest.raises(TransportError):
        service.receive()


@pytest.mark.parametrize("size_bytes", [10, 2**50, 2**63, -1])
def test_a_parcel_decides_nothing_of_our_memory(raw: tuple[socket.socket, socket.socket], size_bytes: int) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    fd = os.memfd_create("parcel")
    os.write(fd, msgspec.msgpack.encode({"type": "parcel", "size_bytes": 10}))
    socket.send_fds(raw[1], [msgspec.msgpack.encode({"type": "parcel", "size_bytes": size_bytes})], [fd])
    os.close(fd)
    with pytest.raises(TransportError):
        service.receive()


def test_a_parcel_that_cannot_be_read_from_is_an_error_of_ours(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    reader, writer = os.pipe()
    socket.send_fds(raw[1], [msgspec.msgpack.encode({"type": "parcel", "size_bytes": 5})], [reader])
    os.close(reader)
    os.close(writer)
    with pytest.raises(TransportError):
        service.receive()


def test_more_descriptors_than_one_are_refused_and_closed(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    socket.send_fds(raw[1], [msgspec.msgpack.encode({"type": "hello", "group": None})], [0, 1, 2])
    with pytest.raises(TransportError, match="more descriptors"):
        service.receive()


def test_descriptors_that_come_with_nothing_are_closed(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    reader, writer = os.pipe()
    socket.send_fds(raw[1], [b""], [writer])
    os.close(writer)
    with pytest.raises(LinkClosed):
        service.receive()
    assert os.read(reader, 1) == b"", "nobody has the other end"
    os.close(reader)


def test_a_service_is_found_by_its_endpoint_and_only_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for bound, called in (
        ("tcp://127.0.0.1:5999", "tcp://localhost:5999"),
        ("tcp://0.0.0.0:5999", "tcp://127.0.0.1:5999"),
        ("tcp://[::1]:5999", "tcp://[::1]:5999"),
        (f"ipc://{tmp_path}/live", f"ipc://{tmp_path}/link/live"),
    ):
        assert leasing.connect(called) is None
        listener = leasing.listen(bound)
        with listener, pytest.raises(OSError, match="in use"):
            leasing.listen(bound)
        assert leasing.connect(called) is None, "nothing is left behind"
        with leasing.listen(bound):
            sock = leasing.connect(called)
            assert sock is not None
            sock.close()
            assert leasing.connect("tcp://127.0.0.1:5998") is None


def test_who_hangs_up_is_gone_also_where_a_fork_has_the_socket(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    subscriber: LeaseSocket[FromService] = LeaseSocket(raw[1], FromService)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        assert subscriber.send(Hello(None))
        subscriber.close()
        assert service.receive() == (Hello(None), None), "its last words are heard"
        with pytest.raises(LinkClosed):
            service.receive()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_more_descriptors_under_way_than_the_kernel_allows_are_no_end_of_the_connection() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody whose descriptors under way are few")
    code = (
        "import os, resource, socket\n"
        "from syncsvc.transport.leasing import FromSubscriber, FromService, LeaseSocket, Ring\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
        "ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "service, subscriber = LeaseSocket(ends[0], FromSubscriber), LeaseSocket(ends[1], FromService)\n"
        "sent = 0\n"
        "while service.send(Ring('north', sent), 0):\n"
        "    sent += 1\n"
        "assert 30 <= sent < 100, sent\n"
        "os.close(subscriber.receive()[1])\n"
        "assert service.send(Ring('north', sent), 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_other_hosts_are_none_of_ours() -> None:
    assert leasing.is_on_this_host("tcp://127.0.0.1:1")
    assert not leasing.is_on_this_host("tcp://192.0.2.1:1")
    assert leasing.connect("tcp://192.0.2.1:1") is None


def test_only_our_user_and_root_are_trusted() -> None:
    assert leasing.is_trusted(os.geteuid())
    assert leasing.is_trusted(0)
    assert not leasing.is_trusted(os.geteuid() + 12_345)


def test_the_last_words_of_who_left_without_listening_are_heard(raw: tuple[socket.socket, socket.socket]) -> None:
    service: LeaseSocket[FromSubscriber] = LeaseSocket(raw[0], FromSubscriber)
    subscriber: LeaseSocket[FromService] = LeaseSocket(raw[1], FromService)
    assert subscriber.send(Hello(None))
    for run in ("1", "2"):
        assert service.send(Welcome(run))
    service.close()
    assert [subscriber.receive(), subscriber.receive()] == [(Welcome("1"), None), (Welcome("2"), None)]
    with pytest.raises(LinkClosed):
        subscriber.receive()
