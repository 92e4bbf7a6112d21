"""Strangers who send without end: they are cut off, the service stays as big as it was, and nobody else notices."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from syncsvc.clock import SYSTEM_CLOCK
from tests.e2e.harness import LIMIT_S, Service, wait_for
from tests.zmtp import part, raw_peer, subscription

MOST_BYTES = 200 << 20
"""What is sent where nobody cuts it off: a gigabyte and more in libzmq's memory."""
BUSY_MIB, LEFT_MIB = 500, 60
"""How much more the receiver may have while it is flooded, and some seconds after that. A look every 100 ms, between
which a connection brings what the machine carries; without the looks it is thousands."""


def resident_mib(pid: int) -> int:
    """Memory of a process that is its own."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) >> 10


def topics(number: int) -> bytes:
    return b"".join(subscription(b"%08d" % one + b"x" * 190) for one in range(number, number + 500))


def parts(_: int) -> bytes:
    return part(b"\x01" + b"y" * 199, has_more=True) * 500


def flood(endpoint: str, kind: bytes, words: Callable[[int], bytes]) -> int:
    """Send until the other end hangs up; how many bytes that were."""
    sent = number = 0
    with raw_peer(endpoint, kind) as peer, suppress(ConnectionError):
        while sent < MOST_BYTES:
            data = words(number)
            peer.sendall(data)
            sent, number = sent + len(data), number + 500
    return sent


def test_who_sends_without_end_is_cut_off_and_its_memory_comes_back(tmp_path: Path) -> None:
    with (
        Service(tmp_path, {"a": {"url": "synthetic:?fps=25&size=160x120"}}) as service,
        service.follow() as history,
    ):
        history.read_until()
        receiver = service.status()["receiver"]["pid"]
        before = resident_mib(receiver)
        for endpoint, kind, words in (
            (service.live, b"SUB", topics),
            (service.live, b"SUB", parts),
            (service.control, b"DEALER", parts),
        ):
            assert flood(endpoint, kind, words) < MOST_BYTES
            assert resident_mib(receiver) < before + BUSY_MIB
            history.read_until(since_ns=SYSTEM_CLOCK.utc_ns())
        wait_for(lambda: resident_mib(receiver) < before + LEFT_MIB, "the memory that comes back", LIMIT_S)
        assert service.status()["receiver"]["pid"] == receiver
        assert "control: 1 connections were cut off that sent more than is read of them" in service.log
        assert service.stop() == 0
        history.read_rest()
    history.check()
